"""What a death among a split's processes does to its verdict. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from darktime.split.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

VITAL: Final = "nginx"  # production's requests pass through it; every other process may die without their noticing
NEEDS: Final = "a run in which every process lives to its end"


def weakened(verdict: Verdict, incidents: Sequence[str]) -> Verdict:
    """The verdict when something died on the way: harm that was seen stays harm, but nothing is GO any more."""
    if not incidents:
        return verdict
    if verdict.outcome == "GO":
        return Verdict(outcome="WAIT", reasons=tuple(incidents), needs=NEEDS, figures=verdict.figures)
    return replace(verdict, reasons=(*incidents, *verdict.reasons))
