"""Keeps what the reports show of a run's seconds: a row each, the heat map, and the sums of all. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.health import backlog_share
from darktime.blast.histogram import highest_of

if TYPE_CHECKING:
    from darktime.blast.histogram import Histogram
    from darktime.blast.offered import Second

# Rows and columns of the heat map: halves of a decade would hide a second mode, finer ones are not seen.
EDGES_MS = tuple(round(base * 10.0**power, 6) for power in range(-2, 5) for base in (1.0, 1.8, 3.2, 5.6))
SPECTRUM = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100)
MAX_SECONDS = 4 * 3600
# More than a look at recovery takes, and than a cold start may last.
RECENT_S = 70
FIRST_S = 60


class Record:
    """``add`` every second in order. Past four hours only the sums grow.

    ``recent`` are the last seconds, whole; ``means`` the seconds that timed anything, as (seconds UTC, mean in µs), and
    ``first`` the times of those they begin with. A second's histograms are large: no more of them are kept.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.deliveries = Deliveries()
        self.planned = 0
        self.recent: deque[Second] = deque(maxlen=RECENT_S)
        self.means: list[tuple[int, float]] = []
        self.first: list[Histogram] = []
        self.rows: list[dict[str, Any]] = []
        self._heat: list[dict[str, Any]] = []
        self._first: int | None = None

    @property
    def began_s(self) -> int:
        """The first second, UTC; 0 before there is one."""
        return self._first or 0

    def add(self, second: Second) -> None:
        """Take one second of all workers."""
        self.planned += second.planned
        self.recent.append(second)
        self.counts.merge(second.counts)
        self.deliveries.merge(second.deliveries)
        if self._first is None:
            self._first = second.at_s
        if len(self.rows) >= MAX_SECONDS:
            return
        latency = latency_of(second)
        if latency.count:
            self.means.append((second.at_s, latency.sum_us / latency.count))
            if len(self.first) < FIRST_S:
                self.first.append(latency)
        at = second.at_s - self._first
        self.rows.append(
            {
                "t": at,
                "planned": second.planned,
                "requests": second.counts.requests,
                "failures": second.counts.failures,
                "p50_ms": latency.percentile_ms(50),
                "p99_ms": latency.percentile_ms(99),
                "deliveries": second.deliveries.delivered,
                "lost": second.deliveries.lost,
                "streams": second.streams,
                "in_flight": second.in_flight,
                "send_lag_p99_ms": second.counts.send_lag.percentile_ms(99),
                "loop_lag_ms": round(second.loop_lag_ms, 3),
                "cpu_share": round(second.cpu_share, 3),
                "canary_ms": None,
                "backlog_share": round(backlog_share(second.counts, second.deliveries), 4),
                "errors_of_ours": second.counts.errors_of_ours + second.deliveries.errors_of_ours,
            }
        )
        self._heat.append({"t": at, "counts": _by_edge(latency)})

    def note_canary(self, at_s: int, worst_ms: float) -> None:
        """The slowest answer that the canary got in a second."""
        for row in reversed(self.rows):
            if self._first is not None and row["t"] == at_s - self._first:
                row["canary_ms"] = max(row["canary_ms"] or 0.0, worst_ms)
                return

    def heat(self) -> dict[str, Any] | None:
        """The latencies of every second, by bucket."""
        if not any(any(row["counts"]) for row in self._heat):
            return None
        return {"edges_ms": list(EDGES_MS), "seconds": self._heat}


def latency_of(second: Second) -> Histogram:
    """The times that the run is about: of deliveries where there are streams that listen, else of replies."""
    return second.deliveries.latency if second.deliveries.latency.count else second.counts.latency


def spectrum(latency: Histogram) -> list[list[float]]:
    """(percent, milliseconds) over the whole range."""
    found = [(float(percent), latency.percentile_ms(percent)) for percent in SPECTRUM]
    return [[percent, ms] for percent, ms in found if ms is not None]


def percentiles(times: Histogram) -> dict[str, Any] | None:
    """Count and percentiles, or None where nothing was counted."""
    if not times.count:
        return None
    marks = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "max_ms": 100.0}
    return {"count": times.count} | {name: times.percentile_ms(percent) for name, percent in marks.items()}


def _by_edge(latency: Histogram) -> list[int]:
    counts = [0] * len(EDGES_MS)
    at = 0
    for bucket, times in latency.buckets():
        ms = highest_of(bucket) / 1000
        while at < len(EDGES_MS) - 1 and ms > EDGES_MS[at]:
            at += 1
        counts[at] += times
    counts[-1] += latency.overflow
    return counts
