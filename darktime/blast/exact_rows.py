"""The exact figures of a run under way, as rows of text for a table: planned, done, late, lost, and who was busy. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.health import backlog_share
from darktime.blast.record import latency_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.record import Record
    from darktime.blast.result import Probe

Rows = list[tuple[str, str, str]]
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def exact_rows(record: Record, probes: Sequence[Probe]) -> Rows:
    """(figure, value, what it is), of all seconds that are complete.

    They are named by group and in the order of their names, in which Locust's page lists them.
    """
    counts, deliveries = record.counts, record.deliveries
    latency = deliveries.latency if deliveries.latency.count else counts.latency
    what = "of deliveries" if deliveries.latency.count else "of replies"
    rows: Rows = [
        ("requests: planned", f"{record.planned:,}", "sends that were due"),
        ("requests: ended", f"{counts.requests:,}", "well or not"),
        ("requests: failed", f"{counts.failures:,}", _reasons(counts.reasons)),
        *(
            (f"time: p{percent:g}", _ms(latency.percentile_ms(percent)), f"{what}, from the planned time")
            for percent in PERCENTILES
        ),
        ("time: service p99", _ms(counts.service.percentile_ms(99)), "of replies, from the sending"),
        ("run: stage", _stage(probes), "the plan that was judged last"),
        ("generator: verdict", probes[-1].health if probes else "-", "on the plan that was judged last"),
    ]
    last = record.recent[-1] if record.recent else None
    if last is None:
        return sorted(rows)
    if last.streams or deliveries.delivered:
        rows += [
            ("streams: open", f"{last.streams:,}", "subscribers that are being served"),
            ("streams: delivered", f"{deliveries.delivered:,}", f"{deliveries.duplicated:,} came twice"),
            ("streams: lost", f"{deliveries.lost:,}", f"and {deliveries.reordered:,} out of order"),
        ]
    rows += [
        ("now: planned/s", f"{last.planned:,}", "in the last whole second"),
        ("now: achieved/s", f"{last.counts.requests:,}", "in the last whole second"),
        ("now: p99", _ms(latency_of(last).percentile_ms(99)), f"{what}, in the last whole second"),
        ("generator: late", _ms(last.counts.send_lag.percentile_ms(99)), "sends, p99 of the last second"),
        ("generator: stood still", _ms(last.loop_lag_ms), "longest pause of a worker's loop"),
        ("generator: backlog", f"{backlog_share(last.counts, last.deliveries):.0%}", "reads that left more waiting"),
        ("generator: sockets", f"{_refused(record):,}", "that this machine refused: files, ports, memory"),
        ("generator: core", f"{last.cpu_share:.0%}", "of one core, the busiest worker"),
    ]
    return sorted(rows)


def _refused(record: Record) -> int:
    return record.counts.errors_of_ours + record.deliveries.errors_of_ours


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
