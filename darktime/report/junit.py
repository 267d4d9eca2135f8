"""A run as JUnit XML, so that a CI's checks page shows each promise by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from darktime.report import figures as fig
from darktime.report import ledger_words
from darktime.report.kinds import Results, reads_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


class Case(NamedTuple):
    """A promise: its name, why it failed, what was seen, and why it could not be judged."""

    name: str
    failure: str | None
    seen: str
    skipped: str | None = None


@reads_results
def junit_xml(results: Results) -> str:
    """As one document, a test case each.

    A check (demo), threshold (blast, replay), finding (blast), figure (compare), verdict or outcome, and hop.
    """
    kind = results["kind"]
    told = {"demo": _demo, "blast": _blast, "split": _split, "compare": _compare}
    told |= {"record": _record, "replay": _replay, "relay": _relay}
    cases = list(told[kind](results))
    failures = str(sum(case.failure is not None for case in cases))
    skipped = str(sum(case.skipped is not None for case in cases))
    seconds = f"{results.get('duration_s', 0):.3f}"
    totals = {"tests": str(len(cases)), "failures": failures, "errors": "0", "time": seconds}
    root = ET.Element("testsuites", totals)
    suite = ET.SubElement(root, "testsuite", {"name": f"darktime.{kind}", **totals, "skipped": skipped})
    if results.get("started"):
        suite.set("timestamp", fig.visible(results["started"]))
    for name, failure, seen, left_out in cases:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"darktime.{kind}", "name": fig.visible(name), "time": "0"}
        )
        if failure is not None:
            ET.SubElement(case, "failure", {"message": fig.visible(failure)}).text = fig.visible(seen)
        elif left_out is not None:
            ET.SubElement(case, "skipped", {"message": fig.visible(left_out)})
        elif seen:
            ET.SubElement(case, "system-out").text = fig.visible(seen)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _demo(results: Results) -> Iterator[Case]:
    for check in results["checks"]:
        failure = None if check["ok"] else check["detail"] or "it does not hold"
        yield Case(check["what"], failure, check["detail"])


def _blast(results: Results) -> Iterator[Case]:
    # A rate that was not held is how a search finds the edge: what fails is a threshold, or an end without a figure.
    sentence, instance = results["sentence"], results["instance"]
    thresholds = results.get("thresholds") or []
    health, bound = results["health"]["verdict"], results["limit"] == "generator"
    workers = results.get("workers") or []
    lost = [worker["id"] for worker in workers if worker["state"] == "lost"]
    for one in thresholds:
        seen = f"{one['text']}: {fig.seen(one)}. {sentence}"
        yield Case(
            f"{instance}: {one['text']}",
            sentence if one["ok"] is False else None,
            seen,
            "not judged: " + sentence if one["ok"] is None else None,
        )
    findings = [one for one in results.get("findings") or [] if one["ok"] is not None]
    yield from (_finding(one, instance, sentence, void=bool(bound or lost)) for one in findings)
    yield Case("the generator was not the limit", sentence if bound else None, health)
    words = f"{len(lost)} of {len(workers)} workers lost: {', '.join(lost)}. {sentence}" if lost else None
    yield Case("no worker was lost", words, words or f"{len(workers)} workers")
    failed = bound or lost or any(one["ok"] is False for one in thresholds)
    failed = failed or any(one["ok"] is False and not one.get("judged_by") for one in findings)
    if not thresholds or (results["exit_code"] != 0 and not failed):
        ended = results["exit_code"] != 0 and not failed
        yield Case(f"{instance}: {fig.slo_text(results['slo'])}", sentence if ended else None, sentence)


def _finding(one: Mapping[str, Any], instance: str, sentence: str, *, void: bool) -> Case:
    """What a scenario promises beside the thresholds; who named a limit of his own for it is judged by that one."""
    told = f"{one['name']}: {fig.quantity(one['value'], one['unit'])}"
    left_out = f"judged by {one['judged_by']}" if one.get("judged_by") else f"not judged: {sentence}" if void else None
    broken = f"{told} {one['text']}".strip() if one["ok"] is False and left_out is None else None
    return Case(f"{instance}: {one['name']}", broken, f"{told}. {sentence}", left_out)


def _compare(results: Results) -> Iterator[Case]:
    a, b = results["a"]["name"], results["b"]["name"]
    outcome, sentence = results["outcome"], results["sentence"]
    yield Case(f"{b} is not worse than {a}", sentence if outcome == "worse" else None, sentence)
    for one in results["metrics"]:
        seen = f"{one['outcome']}: {fig.ratio(one['ratio'])} ({fig.interval(one['low'], one['high'])})"
        yield Case(f"{one['name']} is not worse", f"{seen}. {sentence}" if one["outcome"] == "worse" else None, seen)


def _split(results: Results) -> Iterator[Case]:
    verdict = results["verdict"]
    reasons = "; ".join(verdict["reasons"])
    why = f"{verdict['outcome']}: {verdict['needs'] or reasons or 'no reason was given'}"
    failure = None if verdict["outcome"] == "GO" else why
    yield Case(f"{results['experiment']}: the verdict is GO", failure, reasons)
    for hop in results["ledger"]:
        off = ledger_words.differences(hop)
        named = [*ledger_words.names(hop["missing"]), *ledger_words.names(hop["extra"])]
        yield Case(f"{hop['hop']} balances", None if hop["balanced"] else off, ", ".join(named) or off)


def _record(results: Results) -> Iterator[Case]:
    reasons = "; ".join(results["reasons"])
    whole = results["outcome"] == "whole"
    yield Case(
        f"{results['experiment']}: everything sampled was recorded", None if whole else reasons or "a part", reasons
    )
    for hop in results["ledger"]:
        words = ledger_words.differences(hop)
        yield Case(f"hop {hop['hop']} is accounted for", None if hop["accounted"] else words, words)


def _replay(results: Results) -> Iterator[Case]:
    reasons, outcome, name = "; ".join(results["reasons"]), results["outcome"], results["instance"]
    late = results["sender"]["late"]
    yield Case("the sender was not the limit", late, late or "")
    void = outcome in {"invalid", "interrupted"}
    failed = reasons or outcome if outcome == "differs" else None
    yield Case(f"{name}: answers as recorded", failed, reasons, f"{outcome}: {reasons}" if void else None)
    for one in results["thresholds"]:
        seen = f"{one['text']}: {fig.seen(one)}"
        yield Case(f"{name}: {one['text']}", None if one["ok"] else seen, seen)


def _relay(results: Results) -> Iterator[Case]:
    copies = results["copies"]
    failed = results["ended"] if results["exit_code"] else None
    yield Case("the relay ran to its end", failed, f"{results['ended']}; {fig.count(copies['answered'])} answered")
    yield Case("the verdict is GO", None, "", results["note"])
