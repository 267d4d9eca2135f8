"""The exact figures of a run under way, as rows of text for a table: planned, done, late, lost, and who was busy. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.record import latency_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.record import Record
    from darktime.blast.result import Probe

Rows = list[tuple[str, str, str]]
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def exact_rows(record: Record, probes: Sequence[Probe]) -> Rows:
    """(figure, value, what it is), of all seconds that are complete."""
    counts, deliveries = record.counts, record.deliveries
    planned = sum(second.planned for second in record.seconds)
    latency = deliveries.latency if deliveries.latency.count else counts.latency
    what = "of deliveries" if deliveries.latency.count else "of replies"
    rows: Rows = [
        ("stage", _stage(probes), "the plan that was judged last"),
        ("planned", f"{planned:,}", "sends that were due"),
        ("requests", f"{counts.requests:,}", "ended, well or not"),
        ("failures", f"{counts.failures:,}", _reasons(counts.reasons)),
        *(
            (f"p{percent:g}", _ms(latency.percentile_ms(percent)), f"{what}, from the planned time")
            for percent in PERCENTILES
        ),
        ("service p99", _ms(counts.service.percentile_ms(99)), "from the sending"),
    ]
    last = record.seconds[-1] if record.seconds else None
    if last is not None and (last.streams or deliveries.delivered):
        rows += [
            ("streams", f"{last.streams:,}", "subscribers that are being served"),
            ("deliveries", f"{deliveries.delivered:,}", f"{deliveries.duplicated:,} came twice"),
            ("lost", f"{deliveries.lost:,}", f"and {deliveries.reordered:,} out of order"),
        ]
    if last is not None:
        rows += [
            ("planned/s", f"{last.planned:,}", "in the last whole second"),
            ("achieved/s", f"{last.counts.requests:,}", "in the last whole second"),
            ("p99 now", _ms(latency_of(last).percentile_ms(99)), "of the last whole second"),
            ("generator: late", _ms(last.counts.send_lag.percentile_ms(99)), "sends, p99 of the last second"),
            ("generator: stood still", _ms(last.loop_lag_ms), "longest pause of a worker's loop"),
            ("generator: core", f"{last.cpu_share:.0%}", "of one core, the busiest worker"),
        ]
    return [*rows, ("generator", probes[-1].health if probes else "-", "verdict on the plan that was judged last")]


def _stage(probes: Sequence[Probe]) -> str:
    if not probes:
        return "-"
    probe = probes[-1]
    return f"{probe.stage} {probe.rate_per_s:,.0f}/s: {probe.outcome}"


def _reasons(reasons: dict[str, int]) -> str:
    most = sorted(reasons, key=lambda reason: -reasons[reason])[:3]
    return ", ".join(f"{reason} {reasons[reason]:,}" for reason in most)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3g} ms" if value < 100 else f"{value:,.0f} ms"  # noqa: PLR2004 - three digits
