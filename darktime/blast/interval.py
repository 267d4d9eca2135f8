"""What a search, or the one rate that was asked for, has shown: between which rates the limit lies. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.result import FAIL, GENERATOR, UNDECIDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.result import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """``maximum_per_s``: the highest rate that could be tried.

    ``limited_by``: whose failure the upper end is ("instance", "generator" or "undecided"; "" where there is none or it
    is not known). ``noise`` says, where outcomes contradict each other beyond repair, how. ``confirmed``: the lower end
    was held again, longer. ``next_s``: what the next try would have taken, where the time did not suffice for it.
    """

    highest_pass_per_s: float | None
    lowest_fail_per_s: float | None
    maximum_per_s: float | None = None
    budget_spent: bool = False
    searched: bool = False
    limited_by: str = ""
    noise: str = ""
    confirmed: bool = False
    next_s: float = 0.0


def of_plans(probes: Sequence[Probe]) -> Interval:
    """Of plans that were asked for, one after the other, each to be held.

    What the instance did not hold says it, whatever else there was; next, that the generator was the limit of one; next,
    that one is undecided. Only where all were held is the highest of them held.
    """
    for outcome, limited_by in ((FAIL, "instance"), (GENERATOR, GENERATOR), (UNDECIDED, UNDECIDED)):
        rates = [probe.rate_per_s for probe in probes if probe.outcome == outcome]
        if rates:
            return Interval(highest_pass_per_s=None, lowest_fail_per_s=min(rates), limited_by=limited_by)
    held = max((probe.rate_per_s for probe in probes), default=None)
    return Interval(highest_pass_per_s=held, lowest_fail_per_s=None)
