"""Tells a cold start from what comes after it: the seconds at the beginning of a held rate that decide no percentile. Pure.

Only what would fail is looked at, and only its times: errors and losses of a cold start are errors and losses. What
is left out is said, with both figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from darktime.blast.histogram import Histogram
from darktime.blast.record import latency_of
from darktime.blast.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.offered import Offered, Second

# Fewer seconds are a start and nothing else.
LEAST_S = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """``seconds`` of the ``of`` that were looked at. ``rest``: the times after it; None where too little was left."""

    seconds: int
    of: int
    rest: Histogram | None

    def sentence(self, whole: Histogram) -> str:
        """What was left out, for people."""
        if self.rest is None:
            return f"it was cold for {self.seconds} of {self.of} seconds: measure longer"
        with_it = whole.percentile_ms(99)
        return (
            f"The first {self.seconds} s were a cold start and are not judged "
            f"(p99 {with_it:,.4g} ms with them, {self.rest.percentile_ms(99):,.4g} ms without)."
        )


def without_cold_start(offered: Offered, seconds: Sequence[Second]) -> Offered:
    """The plan with its cold start, if it had one: slower than what followed. ``seconds`` are those of the plan."""
    timed = [latency for second in seconds if (latency := latency_of(second)).count]
    if len(timed) < LEAST_S:
        return offered
    means = [latency.sum_us / latency.count for latency in timed]
    cold = warm_up(means).discard
    if not cold or min(means[:cold]) <= max(means[cold:]):
        return offered
    rest = None
    if cold <= len(timed) / 2:
        rest = Histogram()
        for latency in timed[cold:]:
            rest.merge(latency)
    return replace(offered, cold_start=ColdStart(seconds=cold, of=len(timed), rest=rest))
