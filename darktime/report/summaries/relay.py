"""What a relay that stood alone says on a terminal: what it took, what became of it, and that nothing was compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import transform_words
from darktime.report.draw_block import sampled
from darktime.report.lines import MAX_COLUMNS, MAX_LINES, ramps_line, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANCES = 6


def tell(results: Mapping[str, Any]) -> list[str]:
    """At most 25 lines of at most 96 columns."""
    copies, requests, times = results["copies"], results["requests"], results["latency"]
    left = sorted(copies["reasons"].items(), key=lambda one: -one[1])
    statuses = ", ".join(f"{status} {fig.count(times)}" for status, times in results["statuses"].items())
    spread = ", ".join(f"p{at} {fig.ms(times[f'p{at}_ms'])}" for at in (50, 95, 99))
    lines = [
        row(
            "RELAYED",
            f"{fig.count(copies['received'])} copies of {sampled(results['users'])} users, "
            f"{fig.count(copies['answered'])} answered",
            "" if results["exit_code"] else results["ended"],
        ),
        *(wrapped("INCIDENT", results["ended"]) if results["exit_code"] else []),
        *wrapped("", results["note"]),
        row(
            "REQUESTS",
            f"{fig.count(requests['seen'])} came",
            f"{fig.count(requests['outside'])} not sampled",
            f"{fig.count(requests['marked'])} copies themselves",
        ),
        row("LEFT", ", ".join(f"{fig.count(number)} {reason}" for reason, number in left) or "none"),
        row("STATUSES", statuses or "none"),
        row("DARK", spread),
        *_instances(results.get("instances", [])),
        *transform_words.lines(results.get("transform")),
        *([ramps_line(results["ramps"])] if len(results.get("ramps", [])) > 1 else []),
        row(
            "RUN", fig.duration(results["duration_s"]), f"{fig.percent(results['percent'])} of users", results["listen"]
        ),
    ]
    return [fig.clipped(line, MAX_COLUMNS) for line in lines[:MAX_LINES]]


def _instances(seen: list[Mapping[str, Any]]) -> list[str]:
    if len(seen) < 2:  # noqa: PLR2004 - of one everything is said
        return []
    told = [
        row("", one["dark"], f"{fig.count(one['answered'])} of {fig.count(one['submitted'])} answered")
        for one in seen[:_INSTANCES]
    ]
    return told + ([row("", f"… and {len(seen) - _INSTANCES} more")] if len(seen) > _INSTANCES else [])
