"""What a search, or the one rate that was asked for, has shown: between which rates the limit lies. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """``maximum_per_s``: the highest rate that could be tried.

    ``limited_by``: whose failure the upper end is ("instance", "generator" or "undecided"; "" where there is none or it
    is not known). ``noise`` says, where outcomes contradict each other beyond repair, how. ``confirmed``: the lower end
    was held again, longer.
    """

    highest_pass_per_s: float | None
    lowest_fail_per_s: float | None
    maximum_per_s: float | None = None
    budget_spent: bool = False
    searched: bool = False
    limited_by: str = ""
    noise: str = ""
    confirmed: bool = False
