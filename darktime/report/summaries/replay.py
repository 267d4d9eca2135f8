"""What a replay says on a terminal: the outcome first, then statuses, differences, times and how well it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_COLUMNS, MAX_LINES, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINTS = 4
_CHANGES = 2
_WORDS = {
    "same": "SAME: what was recorded is what is answered",
    "differs": "DIFFERS",
    "invalid": "INVALID: the sender was the limit, nothing is known of the instance",
    "interrupted": "INTERRUPTED",
}


def tell(results: Mapping[str, Any]) -> list[str]:
    """At most 25 lines of at most 96 columns."""
    recording, spacing = results["recording"], results["spacing"]
    left_out = [f"{fig.count(times)} {name.replace('_', ' ')}" for name, times in results["left_out"].items()]
    lines = [
        row("REPLAY", _WORDS[results["outcome"]]),
        *(line for reason in results["reasons"][:3] for line in wrapped("", reason)),
        row(
            "RECORDED",
            f"{fig.count(recording['requests'])} requests in {fig.duration(recording['span_s'])}",
            f"{fig.count(recording['answers'])} with their answers",
            recording["format"],
        ),
        *_faults(recording),
        row(
            "SENT",
            f"{fig.count(results['sent'])} of {fig.count(results['requests'])}",
            f"{fig.count(results['users'])} users",
            f"{results['speed']:g} x",
            f"left out: {', '.join(left_out)}" if left_out else "",
        ),
        row(
            "SPACING",
            f"{fig.duration(spacing['sent_s'])} of {fig.duration(spacing['planned_s'])} planned",
            f"{fig.ms(spacing['lag_p99_ms'])} late (p99)",
            f"{fig.count(spacing['waited'])} waited for the answer before" if spacing["waited"] else "",
        ),
        *_statuses(results),
        *_differences(results),
        *_times(results["latency"]),
        *(
            row("OBJECTIVE", f"{'✓' if one['ok'] else '✗'} {one['text']}", fig.seen(one))
            for one in results["thresholds"]
        ),
    ]
    return [fig.clipped(line, MAX_COLUMNS) for line in lines[:MAX_LINES]]


def _faults(recording: Mapping[str, Any]) -> list[str]:
    lines = []
    if recording["garbage"]:
        first = recording["garbage_lines"][0]
        lines.append(row("", f"{fig.count(recording['garbage'])} lines are none; line {first['line']}: {first['why']}"))
    if recording["cut"]:
        lines.append(row("", "its last line is cut: whoever wrote it was ended in the middle"))
    if recording["damage"]:
        lines.append(row("", f"{recording['damage']}: what stood behind that is lost"))
    return lines


def _statuses(results: Mapping[str, Any]) -> list[str]:
    recorded, replayed = results["statuses"]["recorded"], results["statuses"]["replayed"]
    told = [
        f"{name} {fig.count(recorded.get(name, 0))} → {fig.count(replayed.get(name, 0))}"
        for name in sorted({*recorded, *replayed})
    ]
    lines = [row("STATUSES", *told)] if told else []
    if results["unanswered"]:
        reasons = [f"{fig.count(times)} {name.replace('_', ' ')}" for name, times in results["unanswered"].items()]
        lines.append(row("UNANSWERED", *reasons))
    return lines


def _differences(results: Mapping[str, Any]) -> list[str]:
    lines = [row("COMPARED", fig.count(results["compared"]), f"{fig.count(results['differing'])} differ")]
    differing = [one for one in results["differences"] if one["changes"]]
    for one in differing[:_ENDPOINTS]:
        lines.append(row("", f"{fig.count(one['differing'])} of {fig.count(one['compared'])} {one['endpoint']}"))
        lines += [row("", _change(change)) for change in one["changes"][:_CHANGES]]
    if len(differing) > _ENDPOINTS:
        lines.append(row("", f"… and {len(differing) - _ENDPOINTS} more endpoints (--json has all)"))
    return lines


def _change(change: Mapping[str, Any]) -> str:
    told = f"{change['what'].replace('_', ' ')} {change['recorded']} → {change['replayed']}"
    return f"  {fig.count(change['times'])} x {told}, as {change['ids'][0]}"


def _times(latency: Mapping[str, Any]) -> list[str]:
    lines = []
    for label, name in (("LATENCY", "recorded"), ("", "replayed")):
        one = latency[name]
        figures = ", ".join(f"p{share} {fig.ms(one[f'p{share}_ms'])}" for share in (50, 95, 99))
        lines.append(row(label, f"{name:<9}{figures}", f"{fig.count(one['requests'])} requests"))
    return lines
