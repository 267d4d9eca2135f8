"""Recognises an instance that takes only so many connections: how many, and how it turned the others away. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.blast.histogram import Histogram
    from darktime.blast.offered import Offered

# A SYN that is dropped is sent again after 1, then 2, then 4 s: a connection then stands after 1, 3 or 7 s and a little.
RETRIED_S = (1.0, 3.0, 7.0)
RETRIED_WIDTH = 1.15
# What lies between an ordinary connect and a first repeat: as many there as at the repeats is only a slow network.
BETWEEN_S = (0.4, 0.95)
# Fewer of either kind are accidents.
LEAST_TURNED_AWAY = 5
LEAST_SHARE = 0.01
UNAVAILABLE = "503"
RESET_REASONS = ("reset", "refused")
TIMEOUT_REASONS = ("connect_timeout",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionCeiling:
    """``at``: connections that were served, None where that was not counted. ``turned_away``: the others.

    ``cause``: "503", "reset" or "syn_drop".
    """

    at: int | None
    cause: str
    turned_away: int
    sentence: str


def connection_ceiling(offered: Offered, *, open_connections: int | None = None) -> ConnectionCeiling | None:
    """The ceiling that a probe met, or None. ``open_connections``: those that stood at its end (default: its streams).

    Of several signs the one that most were turned away with.
    """
    counts, deliveries = offered.counts, offered.deliveries
    reasons, statuses, connect = dict(counts.reasons), dict(counts.statuses), counts.connect
    if deliveries is not None:
        connect = deliveries.connect if deliveries.connect.count else connect
        for reason, times in deliveries.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + times
    retried = _retried(connect)
    timeouts = _sum(reasons, TIMEOUT_REASONS)
    turned_away = {
        "503": max(statuses.get(UNAVAILABLE, 0), reasons.get(f"status_{UNAVAILABLE}", 0)),
        "reset": _sum(reasons, RESET_REASONS),
        "syn_drop": retried + timeouts,
    }
    cause = max(turned_away, key=lambda name: turned_away[name])
    away = turned_away[cause]
    if away < max(LEAST_TURNED_AWAY, LEAST_SHARE * connect.count):
        return None
    at = open_connections
    if at is None:
        at = offered.streams_open or None
    how = {
        "503": f"answered 503 to {away:,}",
        "reset": f"reset or refused {away:,} connections",
        "syn_drop": f"left {away:,} connections waiting for a second or more (SYN dropped: its backlog was full)",
    }[cause]
    served = f"it served {at:,} at once and " if at else "it "
    return ConnectionCeiling(
        at=at, cause=cause, turned_away=away, sentence=f"The instance takes only so many connections: {served}{how}."
    )


def _retried(connect: Histogram) -> int:
    """Connects that stood only after a repeated SYN; 0 where they are no heap of their own."""
    repeated = sum(_within(connect, start, start * RETRIED_WIDTH) for start in RETRIED_S)
    between = _within(connect, *BETWEEN_S)
    return repeated if repeated > 2 * between else 0


def _within(times: Histogram, first_s: float, last_s: float) -> int:
    return times.count_above(int(first_s * 1e6) - 1) - times.count_above(int(last_s * 1e6))


def _sum(counts: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(counts.get(name, 0) for name in names)
