"""The summary that a terminal shows at the end of a run: verdict first, then what it rests on."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from darktime.report import figures as fig
from darktime.report import ledger_words
from darktime.report.kinds import Results, reads_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_LINES = 25
MAX_COLUMNS = 96
_LABEL = 11
_INCIDENTS = 4
_MORE = len(", and 9,999 more")


@reads_results
def text_summary(results: Results) -> list[str]:
    """At most 25 lines of at most 96 columns, without colour codes; the first ones say how it ended."""
    lines = {"demo": _demo, "blast": _blast, "split": _split}[results["kind"]](results)
    return [fig.clipped(line, MAX_COLUMNS) for line in lines[:MAX_LINES]]


def _row(label: str, *parts: str) -> str:
    """One labelled line; empty parts are left out."""
    return f"{label:<{_LABEL}}" + " · ".join(part for part in parts if part)


def _wrapped(label: str, sentence: str) -> list[str]:
    """A sentence over at most two lines: it is what the run was made for."""
    lines = textwrap.wrap(fig.visible(sentence), MAX_COLUMNS - _LABEL, max_lines=2, placeholder=" …")
    return [_row("" if at else label, line) for at, line in enumerate(lines)]


def _demo(results: Results) -> list[str]:
    head = [_row("" if at else "VERDICT", *_phase(phase)) for at, phase in enumerate(results["phases"])]
    head += [line for phase in results["phases"] if phase["named"] for line in _named(phase)]
    users, traffic, reason = results["users"], results["traffic"], results["reason"]
    comments, deliveries = sum(traffic["comments"].values()), traffic["deliveries"]
    tail = [
        _row(
            "REASON",
            f"second request while the dark side hangs: naive mirror {fig.ms(reason['naive_ms'])}",
            f"here {fig.ms(reason['ours_ms'])}",
        )
        if reason
        else "",
        _row(
            "USERS",
            f"{fig.count(users['sampled'])} of {fig.count(users['seen'])} sampled at {fig.percent(users['percent'])}",
            fig.agreement(users["agrees_with_function"]),
        ),
        *_copies(results["copies"]),
        _row(
            "TRAFFIC",
            f"{fig.count(traffic['requests'])} requests, {fig.count(traffic['errors'])} failed",
            f"{fig.count(comments)} comments",
            f"{fig.count(traffic['streams'])} streams",
            f"{fig.count(deliveries['production'])} delivered, {fig.count(deliveries['dark'])} dark",
        ),
        *(_latency(results["phases"][-1]["latency"]) if results["phases"] else []),
        *(
            [*_wrapped("INSTANCE", results["blast"]["sentence"]), _generator(results["blast"])]
            if results["blast"]
            else []
        ),
        *(_row("INCIDENT", incident) for incident in results["incidents"][:_INCIDENTS]),
        _row("", f"and {len(results['incidents']) - _INCIDENTS} more")
        if len(results["incidents"]) > _INCIDENTS
        else "",
        _row(
            "RUN",
            fig.duration(results["duration_s"]),
            f"seed {results['seed']}",
            f"darktime {results['version']}",
            f"exit {results['exit_code']}",
        ),
    ]
    tail = _ledger(results["phases"]) + [line for line in tail if line]
    return [*head, *_checks(results["checks"], MAX_LINES - len(head) - len(tail)), *tail]


def _ledger(phases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each hop's +1 and -1, phase beside phase."""
    shown = phases[:2]
    hops = list(dict.fromkeys(hop["hop"] for phase in shown for hop in phase["ledger"]))
    if not hops:
        return []
    found = {(at, hop["hop"]): hop for at, phase in enumerate(shown) for hop in phase["ledger"]}
    title = "".join(f"{phase['name'] + ' +1':>13}{'-1':>7}  {'':<14}" for phase in shown)
    lines = [_row("LEDGER", f"{'':<20}{title}".rstrip())]
    for name in hops:
        cells = ""
        for at in range(len(shown)):
            hop = found.get((at, name))
            cells += (
                f"{fig.count(hop['sent']):>13}{fig.count(hop['received']):>7}  {_off(hop):<14}" if hop else " " * 36
            )
        lines.append(_row("", f"{fig.clipped(name, 20):<20}{cells}".rstrip()))
    return lines


def _off(hop: Mapping[str, Any]) -> str:
    missing, extra = ledger_words.total(hop["missing"]), ledger_words.total(hop["extra"])
    if missing or extra:
        return " ".join(f"{sign}{number:,}" for sign, number in (("-", missing), ("+", extra)) if number)
    return "0" if hop["balanced"] else "not known"


def _blast(results: Results) -> list[str]:
    totals, latency, capacity = results["totals"], results["latency"], results["capacity"]
    head = [
        *_wrapped("RESULT", results["sentence"]),
        _row(
            "CAPACITY",
            f"holds {fig.count(capacity['highest_pass_per_s'])}/s",
            f"fails at {fig.count(capacity['lowest_fail_per_s'])}/s",
            f"limit: {results['limit']}",
        ),
        _row("OBJECTIVE", fig.slo_text(results["slo"])),
    ]
    tail = [
        _row(
            "LATENCY",
            *(
                f"{name} {fig.ms(latency[key])}"
                for name, key in (
                    ("p50", "p50_ms"),
                    ("p90", "p90_ms"),
                    ("p99", "p99_ms"),
                    ("p99.9", "p999_ms"),
                    ("max", "max_ms"),
                )
            ),
        ),
        _row(
            "COUNTS",
            f"{fig.count(totals['requests'])} requests",
            f"{fig.count(totals['failures'])} failed",
            fig.size(totals["bytes"]),
        ),
        _row(
            "DELIVERIES",
            fig.count(totals["deliveries"]),
            f"{fig.count(totals['lost'])} lost",
            f"{fig.count(totals['duplicated'])} duplicated",
        )
        if results["endpoint"] == "push"
        else "",
        _generator(results),
        _row(
            "LOCUST",
            f"{fig.count(results['locust']['requests'])} requests",
            f"{fig.count(results['locust']['failures'])} failed",
        ),
        _row(
            "RUN",
            results["instance"],
            results["endpoint"],
            results["model"],
            fig.duration(results["duration_s"]),
            f"exit {results['exit_code']}",
        ),
    ]
    tail = [line for line in tail if line]
    probes = results["probes"]
    # Where the probes do not fit, those around the answer count: the last ones, which is where a search ends.
    shown = probes[-(MAX_LINES - len(head) - len(tail) - 2) :]
    title = "PROBES" if len(shown) == len(probes) else f"PROBES, the last {len(shown)} of {len(probes)}"
    table = [f"{title:<30}{'rate/s':>10}{'reached':>10}{'p50':>11}{'p99':>11}{'errors':>9}{'lost':>8}"] if shown else []
    return [*head, *table, *map(_probe, shown), *tail]


def _generator(results: Mapping[str, Any]) -> str:
    """Whether the figure is the instance's or the generator's own."""
    health = results["health"]
    return _row(
        "GENERATOR",
        f"send lag p99 {fig.ms(health['send_lag_p99_ms'])}",
        f"cpu {fig.share(health['cpu_share'])}",
        f"sent {fig.share(health['achieved_share'])} of the plan",
        health["verdict"],
    )


def _probe(probe: Mapping[str, Any]) -> str:
    mark = "✓" if probe["passed"] else "✗"
    return (
        f"  {mark} {fig.clipped(probe['why'], 25):<26}"
        f"{fig.count(probe['rate_per_s']):>10}{fig.count(probe['achieved_per_s']):>10}"
        f"{fig.ms(probe['p50_ms']):>11}{fig.ms(probe['p99_ms']):>11}"
        f"{fig.count(probe['errors']):>9}{fig.count(probe['lost']):>8}"
    )


def _split(results: Results) -> list[str]:
    verdict, users = results["verdict"], results["users"]
    reasons = verdict["reasons"][: MAX_LINES - 16]
    return [
        _row("VERDICT", verdict["outcome"], results["experiment"]),
        *(_row("", reason) for reason in reasons),
        *([_row("NEEDS", verdict["needs"])] if verdict["needs"] else []),
        _row("LEDGER", ledger_words.summary(results["ledger"])),
        *_missing(results["ledger"]),
        _row(
            "USERS",
            f"{fig.count(users['sampled'])} of {fig.count(users['seen'])} sampled at {fig.percent(results['percent'])}",
        ),
        *_copies(results["copies"]),
        *_latency(results["latency"]),
        _row("PRODUCTION", results["production"]),
        _row("DARK", results["dark"]),
        _row(
            "RUN",
            fig.duration(results["duration_s"]),
            f"darktime {results['version']}",
            f"exit {results['exit_code']}",
        ),
    ]


def _phase(phase: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = phase["verdict"]
    why = verdict["needs"] if verdict["outcome"] == "WAIT" and verdict["needs"] else "; ".join(verdict["reasons"])
    return (f"{phase['name']:<6} {verdict['outcome']:<6}", why or ledger_words.summary(phase["ledger"]))


def _named(phase: Mapping[str, Any]) -> list[str]:
    how = {True: ", as injected", False: ", NOT as injected", None: ""}[phase["exact"]]
    found = phase["named"]
    return [_ids(f"{phase['name']:<6} {word}{how}: ", found[word]) for word in ("missing", "extra") if found[word]]


def _ids(prefix: str, ids: Sequence[str]) -> str:
    """As many whole ids as the line holds, an id being of use only whole; the rest is counted."""
    line, shown = _row("", prefix), 0
    for name in ids:
        longer = line + (", " if shown else "") + fig.visible(name)
        if shown and cell_len(longer) > MAX_COLUMNS - (_MORE if shown + 1 < len(ids) else 0):
            break
        line, shown = longer, shown + 1
    return line if shown == len(ids) else f"{line}, and {len(ids) - shown:,} more"


def _missing(hops: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for hop in hops:
        for word in ("missing", "extra"):
            found = ledger_words.names(hop[word])
            if found:
                lines.append(_ids(f"{hop['hop']} {word}: ", found))
    return lines[:2]


def _checks(checks: Sequence[Mapping[str, Any]], room: int) -> list[str]:
    """How many hold, and those that do not; what does not fit is counted, never dropped in silence."""
    failed = [check for check in checks if not check["ok"]]
    shown = failed if len(failed) < room else failed[: max(room - 2, 0)]
    lines = [_row("CHECKS", f"{len(checks) - len(failed)} of {len(checks)} hold")]
    lines += [f"  ✗ {check['what']}: {check['detail']}" for check in shown]
    if len(shown) < len(failed):
        lines.append(f"  … {len(failed) - len(shown)} more do not hold: all are in the report")
    return lines


def _copies(copies: Mapping[str, Any]) -> list[str]:
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in copies["reasons"].items() if number)
    return [
        _row(
            "COPIES",
            f"{fig.count(copies['offered'])} offered",
            f"{fig.count(copies['received'])} received",
            f"{fig.count(copies['compared'])} compared",
            reasons,
        )
    ]


def _latency(latency: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for at, side in enumerate(("production", "dark")):
        seen = latency[side]
        figures = (f"{name} {fig.ms(seen[f'{name}_ms']):<9}" for name in ("p50", "p95", "p99"))
        clock = "" if at else ", in whole ms"
        pairs = f"{fig.count(seen['pairs'])} pairs{clock}"
        lines.append(_row("" if at else "LATENCY", f"{side:<10} {' '.join(figures)} {pairs}"))
    return lines
