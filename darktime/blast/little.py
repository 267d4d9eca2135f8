"""Little's law over one window: what was seen under way against rate x time. Tells whether it was stationary. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.blast.offered import Offered

# Further apart than this, a clock or an account is wrong, or the window was no steady state.
TOLERANCE = 0.05
# Replies that end after the window's end are in the sum of times and not in what was seen: half a reply's time, on
# average. A window in which that alone is more than this cannot be judged.
EDGE_LIMIT = 0.02
# Fewer replies, or less than this under way on average, are noise.
LEAST_REPLIES = 100
LEAST_IN_FLIGHT = 0.5
# Requests that never had a reply were under way too, for a time that nobody knows: with more of them, no judgement.
UNANSWERED_LIMIT = 0.01


def little_error(offered: Offered) -> float | None:
    """How far L lies from X * W, relative to it; None where the window cannot be judged.

    L: the mean of requests under way; X: replies a second; W: their mean time from the sending, so that X * W is
    the sum of times over the window.
    """
    service, seen = offered.counts.service, offered.in_flight_mean
    if seen is None or service.count < LEAST_REPLIES or offered.duration_s <= 0:
        return None
    if offered.counts.requests - service.count > UNANSWERED_LIMIT * offered.counts.requests:
        return None
    mean_s = service.sum_us / service.count / 1e6
    expected = service.sum_us / 1e6 / offered.duration_s
    if expected < LEAST_IN_FLIGHT or mean_s / (2 * offered.duration_s) > EDGE_LIMIT:
        return None
    return abs(seen - expected) / expected


def stationary(error: float | None) -> bool | None:
    """Whether the law held; None where it could not be judged."""
    return None if error is None else error <= TOLERANCE
