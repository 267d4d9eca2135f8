"""Latency in a verdict: each endpoint on its own, so that a shift of traffic is not taken for slowness. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from darktime.split.verdict import slower
from darktime.split.verdict.looks import levels
from darktime.split.verdict.needs import need
from darktime.split.verdict.offset import calibrated, times_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from darktime.split.verdict.clusters import Interval, Levels
    from darktime.split.verdict.offset import Calibration
    from darktime.split.verdict.outcome import Findings
    from darktime.split.verdict.settings import VerdictSettings
    from darktime.split.verdict.slower import Times
    from darktime.split.verdict.table import Table

    Rows = NDArray[Any]


def judge_latency(
    table: Table,
    endpoints: Sequence[int],
    *,
    required: frozenset[int],
    calibration: Calibration,
    settings: VerdictSettings,
    look: int,
    findings: Findings,
) -> dict[str, dict[str, Any]]:
    """Judge every one of the endpoints; of those that are not required only what speaks against. Figures by endpoint."""
    figures = {}
    for number in endpoints:
        rows, endpoint = table.rows(number), table.endpoints[number]
        times = times_of(table, rows)
        at = levels(settings.confidence, look, len(endpoints))
        measured = calibration.offset(endpoint, settings, at)
        offset = measured.taken
        seen = slower.excess(times, at, ratio=settings.latency_ratio, slack_s=settings.latency_slack_s)
        found = calibrated(seen, offset) if offset else seen
        figures[endpoint] = figure = figure_of(table, rows, found, offset, settings)
        words = (
            f"{endpoint}: p95 {figure['dark_p95_ms']:.1f} ms dark, {figure['production_p95_ms']:.1f} ms production "
            f"({len(rows):,} pairs of {len(times.counts):,} users{_measured(offset)})"
        )
        bare = f"; not calibrated, {measured.why}" if measured.why else ""
        limit = f"{settings.latency_ratio:.2f} times production's + {settings.latency_slack_s * 1000:g} ms{bare}"
        if found.low > 0:
            findings.against.append(f"{words}: slower than {limit}")
        elif measured.broken and number in required:
            findings.unsure.append(
                f"{endpoint}: {measured.why}, {settings.error_margin:.2%} may: what the measuring adds to its p95 is not known"
            )
            findings.needs.append(
                f"a run that calibrates with a second instance which answers {endpoint} as production does: look at its log"
            )
        elif found.high >= 0 and number in required:
            findings.unsure.append(f"{words}: may be slower than {limit}")
            soon = levels(settings.confidence, look + 1, len(endpoints))
            more = need(times_needed(times, offset, settings, soon), len(rows), len(times.counts))
            findings.needs.append(more.words(f"the p95 of {endpoint}"))
    return figures


def times_needed(times: Times, offset: Interval | None, settings: VerdictSettings, at: Levels) -> float:
    """How many times as many users would tell. More pairs do not make a calibration better."""
    slack_s = settings.latency_slack_s + (offset.value if offset else 0.0)
    return slower.lean(times, ratio=settings.latency_ratio, slack_s=slack_s).times_needed(at)


def figure_of(
    table: Table, rows: Rows, found: Interval, offset: Interval | None, settings: VerdictSettings
) -> dict[str, Any]:
    """An endpoint's latency as the JSON has it, in milliseconds; null: no bound was found."""
    production, dark = slower.p95(table.production[rows]), slower.p95(table.dark[rows])
    return {
        "production_p95_ms": production * 1000,
        "dark_p95_ms": dark * 1000,
        "allowed_ms": ((settings.latency_ratio - 1) * production + settings.latency_slack_s) * 1000,
        "excess_ms": found.value * 1000,
        "excess_low_ms": _ms(found.low),
        "excess_high_ms": _ms(found.high),
        "offset_ms": offset.value * 1000 if offset else None,
    }


def _measured(offset: Interval | None) -> str:
    return "" if offset is None else f"; the same code measured {offset.value * 1000:+.1f} ms, which is taken off"


def _ms(seconds: float) -> float | None:
    return seconds * 1000 if math.isfinite(seconds) else None
