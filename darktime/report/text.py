"""The summary that a terminal shows at the end of a run: verdict first, then what it rests on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from darktime.report import figures as fig
from darktime.report import ledger_words, transform_words
from darktime.report import way as ways
from darktime.report.draw_block import of_how_many, sampled
from darktime.report.kinds import Results, reads_results
from darktime.report.lines import MAX_COLUMNS, MAX_LINES, ramps_line, row, wrapped
from darktime.report.summaries import blast, compare, fields, record, relay, replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_INCIDENTS = 4
_MORE = len(", and 9,999 more")
_LEAST_REASONS = 1


@reads_results
def text_summary(results: Results) -> list[str]:
    """At most 25 lines of at most 96 columns, without colour codes; the first ones say how it ended."""
    told = {
        "demo": _demo,
        "blast": blast.tell,
        "split": _split,
        "compare": compare.tell,
        "record": record.tell,
        "replay": replay.tell,
        "relay": relay.tell,
    }[results["kind"]]
    lines = told(results)
    return [fig.clipped(line, MAX_COLUMNS) for line in lines[:MAX_LINES]]


def _demo(results: Results) -> list[str]:
    head = [row("" if at else "VERDICT", *_phase(phase)) for at, phase in enumerate(results["phases"])]
    head += [line for phase in results["phases"] if phase["named"] for line in _named(phase)]
    users, traffic, reason = results["users"], results["traffic"], results["reason"]
    comments, deliveries = sum(traffic["comments"].values()), traffic["deliveries"]
    tail = [
        row(
            "REASON",
            f"second request while the dark side hangs: naive mirror {fig.ms(reason['naive_ms'])}",
            f"here {fig.ms(reason['ours_ms'])}",
        )
        if reason
        else "",
        row(
            "USERS",
            f"{fig.count(users['sampled'])} of {fig.count(users['seen'])} sampled at {fig.percent(users['percent'])}",
            fig.agreement(users["agrees_with_function"]),
        ),
        *_copies(results["copies"]),
        row(
            "TRAFFIC",
            f"{fig.count(traffic['requests'])} requests, {fig.count(traffic['errors'])} failed",
            f"{fig.count(comments)} comments",
            f"{fig.count(traffic['streams'])} streams",
            f"{fig.count(deliveries['production'])} delivered, {fig.count(deliveries['dark'])} dark",
        ),
        *(_latency(results["phases"][-1]["latency"]) if results["phases"] else []),
        *(
            [*wrapped("INSTANCE", results["blast"]["sentence"]), blast.generator(results["blast"])]
            if results["blast"]
            else []
        ),
        *(row("INCIDENT", incident) for incident in results["incidents"][:_INCIDENTS]),
        row("", f"and {len(results['incidents']) - _INCIDENTS} more") if len(results["incidents"]) > _INCIDENTS else "",
        row(
            "RUN",
            fig.duration(results["duration_s"]),
            f"seed {results['seed']}",
            f"darktime {results['version']}",
            f"exit {results['exit_code']}",
        ),
    ]
    tail = _ledger(results["phases"]) + [line for line in tail if line]
    return [*head, *_checks(results["checks"], MAX_LINES - len(head) - len(tail)), *tail]


def _incidents(incidents: Sequence[str]) -> list[str]:
    """Two in full; of more, who it was: a summary may not be silent about one of them."""
    if len(incidents) <= 2:  # noqa: PLR2004 - two lines
        return [row("INCIDENT", incident) for incident in incidents]
    who = [incident.partition(" (process ")[0] for incident in incidents]
    return [row("INCIDENT", _ids(f"{len(incidents)}: ", who).strip())]


def _ledger(phases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each hop's +1 and -1, phase beside phase."""
    shown = phases[:2]
    hops = list(dict.fromkeys(hop["hop"] for phase in shown for hop in phase["ledger"]))
    if not hops:
        return []
    found = {(at, hop["hop"]): hop for at, phase in enumerate(shown) for hop in phase["ledger"]}
    title = "".join(f"{phase['name'] + ' +1':>13}{'-1':>7}  {'':<14}" for phase in shown)
    lines = [row("LEDGER", f"{'':<20}{title}".rstrip())]
    for name in hops:
        cells = ""
        for at in range(len(shown)):
            hop = found.get((at, name))
            cells += (
                f"{fig.count(hop['sent']):>13}{fig.count(hop['received']):>7}  {_off(hop):<14}" if hop else " " * 36
            )
        lines.append(row("", f"{fig.clipped(name, 20):<20}{cells}".rstrip()))
    return lines


def _off(hop: Mapping[str, Any]) -> str:
    missing, extra = ledger_words.total(hop["missing"]), ledger_words.total(hop["extra"])
    if missing or extra:
        return " ".join(f"{sign}{number:,}" for sign, number in (("-", missing), ("+", extra)) if number)
    return "0" if hop["balanced"] else "not known"


def _split(results: Results) -> list[str]:
    verdict, users = results["verdict"], results["users"]
    before = [
        *([row("NEEDS", verdict["needs"])] if verdict["needs"] else []),
        row("LEDGER", ledger_words.summary(results["ledger"])),
        *_missing(results["ledger"]),
    ]
    after = [
        row(
            "USERS",
            sampled(users)
            + (f" of {fig.count(users['seen'])}" if users["seen"] is not None else "")
            + f" sampled at {fig.percent(results['percent'])}",
            _drawn(users),
        ),
        *_way(results),
        *_recording(results.get("recording")),
        *transform_words.lines(results.get("transform")),
        *_latency(results["latency"]),
        *_watched(results),
        *wrapped("ENDED", results.get("cut_short", "")),
        row("PRODUCTION", results["production"]),
        row("DARK", results["dark"]),
        row(
            "RUN",
            fig.duration(results["duration_s"]),
            f"darktime {results['version']}",
            f"exit {results['exit_code']}",
        ),
    ]
    room = MAX_LINES - 1 - len(before) - len(after)
    compared = fields.tell(results)[: max(room - _LEAST_REASONS, 0)]
    reasons = verdict["reasons"][: room - len(compared)]
    head = row("VERDICT", verdict["outcome"], results["experiment"])
    return [head, *(row("", reason) for reason in reasons), *before, *compared, *after]


def _drawn(users: Mapping[str, Any]) -> str:
    """Of how many, at the last percentage that stood."""
    if not users.get("steps"):
        return ""
    last = users["steps"][-1]
    buckets = f"{fig.count(last['buckets'])} of {fig.count(users['buckets'])} buckets"
    if last["of"] is None:
        return buckets
    return f"{buckets}, of {of_how_many(last['of'], 'at least ' if users['steps_at_least'] else '')} users"


def _watched(results: Results) -> list[str]:
    """Whether mirroring did harm, and each percentage in turn. Results of before these were watched have neither."""
    lines = []
    watched, ramps = results.get("production_watched"), results.get("ramps")
    if watched:
        lines += wrapped("HARM", watched["sentence"], lines=2 if watched["harmed"] else 1)
    if ramps:
        lines.append(ramps_line(ramps))
    return lines


def _recording(recording: Mapping[str, Any] | None) -> list[str]:
    if not recording:
        return []
    ended = f"ended before: {recording['stopped']}" if recording["stopped"] else ""
    return [row("RECORDED", f"{fig.count(recording['requests'])} requests, {fig.size(recording['bytes'])}", ended)]


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
    line, shown = row("", prefix), 0
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
    lines = [row("CHECKS", f"{len(checks) - len(failed)} of {len(checks)} hold")]
    lines += [f"  ✗ {check['what']}: {check['detail']}" for check in shown]
    if len(shown) < len(failed):
        lines.append(f"  … {len(failed) - len(shown)} more do not hold: all are in the report")
    return lines


def _copies(copies: Mapping[str, Any]) -> list[str]:
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in copies["reasons"].items() if number)
    return [
        row(
            "COPIES",
            f"{fig.count(copies['offered'])} offered",
            f"{fig.count(copies['received'])} received",
            f"{fig.count(copies['compared'])} compared",
            reasons,
        )
    ]


def _way(results: Results) -> list[str]:
    """How many copies came through, and why the others did not: no reason may be cut off."""
    way = ways.way_of(results)
    left = [
        f"{number:,} {reason}"
        for reason, number in ways.most_first(Counter(way["never_came"]) + Counter(way["reasons"]))
    ]
    unexplained = ways.unexplained(ways.steps(results))
    return [
        row(
            "COPIES",
            *(f"{fig.count(way[word])} {word}" for word in ("offered", "received", "compared")),
            f"{fig.count(way['open'])} on their way" if way["open"] else "",
            f"{fig.count(unexplained)} NOT EXPLAINED" if unexplained else "",
        ),
        *(wrapped("LEFT", ", ".join(left)) if left else []),
    ]


def _latency(latency: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for at, side in enumerate(("production", "dark")):
        seen = latency[side]
        figures = (f"{name} {fig.ms(seen[f'{name}_ms']):<9}" for name in ("p50", "p95", "p99"))
        clock = "" if at else ", in whole ms"
        pairs = f"{fig.count(seen['pairs'])} pairs{clock}"
        lines.append(row("" if at else "LATENCY", f"{side:<10} {' '.join(figures)} {pairs}"))
    return lines
