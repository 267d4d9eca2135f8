"""Latency in a verdict: each endpoint on its own, so that a shift of traffic is not taken for slowness. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from darktime.split.verdict import slower
from darktime.split.verdict.clusters import Interval, Levels
from darktime.split.verdict.looks import levels
from darktime.split.verdict.needs import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    calibration: Table,
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
        offset = offset_of(calibration, endpoint, settings, at)
        seen = slower.excess(times, at, ratio=settings.latency_ratio, slack_s=settings.latency_slack_s)
        found = calibrated(seen, offset) if offset else seen
        figures[endpoint] = figure = figure_of(table, rows, found, offset, settings)
        words = (
            f"{endpoint}: p95 {figure['dark_p95_ms']:.1f} ms dark, {figure['production_p95_ms']:.1f} ms production "
            f"({len(rows):,} pairs of {len(times.counts):,} users{_measured(offset)})"
        )
        bare = "; not calibrated, too few pairs of the same code" if calibration.endpoints and not offset else ""
        limit = f"{settings.latency_ratio:.2f} times production's + {settings.latency_slack_s * 1000:g} ms{bare}"
        if found.low > 0:
            findings.against.append(f"{words}: slower than {limit}")
        elif found.high >= 0 and number in required:
            findings.unsure.append(f"{words}: may be slower than {limit}")
            soon = levels(settings.confidence, look + 1, len(endpoints))
            more = need(times_needed(times, offset, settings, soon), len(rows), len(times.counts))
            findings.needs.append(more.words(f"the p95 of {endpoint}"))
    return figures


def times_of(table: Table, rows: Rows) -> Times:
    """The times of some rows."""
    return slower.Times.of(table.production[rows], table.dark[rows], table.owners(rows), at=table.at[rows])


def offset_of(calibration: Table, endpoint: str, settings: VerdictSettings, at: Levels) -> Interval | None:
    """What the measuring itself adds to dark's p95: of pairs in which both sides ran the same code. None: too few of them."""
    if endpoint not in calibration.endpoints:
        return None
    rows = calibration.rows(calibration.endpoints.index(endpoint))
    if len(rows) < settings.min_pairs_an_endpoint:
        return None
    strict = Levels(low=min(at.low, at.high), high=min(at.low, at.high))  # each of its bounds widens the other side's
    found = slower.excess(times_of(calibration, rows), strict, ratio=1.0, slack_s=0.0)
    return found if math.isfinite(found.low) and math.isfinite(found.high) else None


def calibrated(found: Interval, offset: Interval) -> Interval:
    """One less the other, both uncertain: Zou and Donner, Statistics in Medicine 27 (2008)."""
    value = found.value - offset.value
    return Interval(
        value=value,
        low=value - math.hypot(found.value - found.low, offset.high - offset.value),
        high=value + math.hypot(found.high - found.value, offset.value - offset.low),
    )


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
