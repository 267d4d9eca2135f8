"""Tells a cold start from what comes after it: the seconds at the beginning of a held rate that decide no percentile. Pure.

Only what would fail is looked at, and only its times: errors and losses of a cold start are errors and losses. What
is left out is said, with both figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from darktime.blast.histogram import Histogram
from darktime.blast.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.offered import Offered

# Fewer seconds are a start and nothing else.
LEAST_S = 8
# A cold second is slower than every later one by more than chance.
SLOWER = 1.25


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


def without_cold_start(offered: Offered, means_us: Sequence[float], first: Sequence[Histogram]) -> Offered:
    """The plan with its cold start, if it had one: slower than what followed.

    ``means_us``: of the plan's seconds that timed anything; ``first``: the times of those that it began with.
    """
    if len(means_us) < LEAST_S:
        return offered
    cold = warm_up(means_us)
    while cold and means_us[cold - 1] <= SLOWER * max(means_us[cold:]):  # MSER likes to drop what only wavers
        cold -= 1
    if not cold or min(means_us[:cold]) <= SLOWER * max(means_us[cold:]):
        return offered
    rest = None
    if cold <= min(len(means_us) / 2, len(first)):
        left_out = Histogram()
        for times in first[:cold]:
            left_out.merge(times)
        rest = offered.whole_latency().without(left_out)
    return replace(offered, cold_start=ColdStart(seconds=cold, of=len(means_us), rest=rest))
