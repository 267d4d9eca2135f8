"""A run as JUnit XML, so that a CI's checks page shows each promise by name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from darktime.report import figures as fig
from darktime.report import ledger_words
from darktime.report.kinds import Results, reads_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    Case = tuple[str, str | None, str]  # its name, why it failed or None, what was seen


@reads_results
def junit_xml(results: Results) -> str:
    """One test case a check (demo), a probe (blast) or a verdict and hop (split), as a whole XML document."""
    kind = results["kind"]
    cases = list({"demo": _demo, "blast": _blast, "split": _split}[kind](results))
    failures = str(sum(failure is not None for _, failure, _ in cases))
    seconds = f"{results['duration_s']:.3f}"
    totals = {"tests": str(len(cases)), "failures": failures, "errors": "0", "time": seconds}
    root = ET.Element("testsuites", totals)
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": f"darktime.{kind}", **totals, "skipped": "0", "timestamp": fig.visible(results["started"])},
    )
    for name, failure, seen in cases:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"darktime.{kind}", "name": fig.visible(name), "time": "0"}
        )
        if failure is not None:
            ET.SubElement(case, "failure", {"message": fig.visible(failure)}).text = fig.visible(seen)
        elif seen:
            ET.SubElement(case, "system-out").text = fig.visible(seen)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _demo(results: Results) -> Iterator[Case]:
    for check in results["checks"]:
        yield check["what"], None if check["ok"] else check["detail"] or "it does not hold", check["detail"]


def _blast(results: Results) -> Iterator[Case]:
    # A rate that was not held is how a search finds the edge: what fails is an objective not met at all.
    for probe in results["probes"]:
        word = "held" if probe["passed"] else "did not hold"
        seen = f"{word}: {probe['why']}; p99 {fig.ms(probe['p99_ms'])}, {fig.count(probe['errors'])} errors"
        yield f"{fig.count(probe['rate_per_s'])} a second", None, seen
    failed = results["exit_code"] != 0
    yield (
        f"{results['instance']}: {fig.slo_text(results['slo'])}",
        results["sentence"] if failed else None,
        results["sentence"],
    )
    health = results["health"]["verdict"]
    yield "the generator was not the limit", health if results["limit"] == "generator" else None, health


def _split(results: Results) -> Iterator[Case]:
    verdict = results["verdict"]
    reasons = "; ".join(verdict["reasons"])
    why = f"{verdict['outcome']}: {verdict['needs'] or reasons or 'no reason was given'}"
    yield f"{results['experiment']}: the verdict is GO", None if verdict["outcome"] == "GO" else why, reasons
    for hop in results["ledger"]:
        off = ledger_words.differences(hop)
        named = [*ledger_words.names(hop["missing"]), *ledger_words.names(hop["extra"])]
        yield f"{hop['hop']} balances", None if hop["balanced"] else off, ", ".join(named) or off
