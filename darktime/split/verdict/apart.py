"""Whether two sides lie apart: of one more lies above a time between them than may, of the other less. Pure.

``slower`` looks at the slowest tenth of both sides. In a run of seconds all of that may fall into one bad moment, and tells
nothing then, though every answer of one side be slower than every one of the other. So each side is also held, by itself, against
a time between the two. Where dark's percentile is not above production's, and both bounds say that it is, dark's lower bound has
erred or production's upper one: each may err with half, however that time was chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from darktime.split.verdict.clusters import share_of
from darktime.split.verdict.exact import student
from darktime.split.verdict.spells import between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from darktime.split.verdict.clusters import Levels, Share

    Numbers = NDArray[np.float64]

# A user is above that time always or never, until ten who are say otherwise: it takes as many users as pairs.
LIKENESS: Final = 1.0
# How far those times are from the faster side's percentile, of the way to the slower's: in the middle; and nearer, since a bad
# moment takes the slower side's percentile far away, and leaves most of its times where they are.
WAYS: Final = (0.5, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """What share of one side's times lies above a given one; ``spells``: its error and degrees of freedom between stretches."""

    share: Share
    spells: tuple[float, float] | None = None

    @classmethod
    def of(
        cls, values: Numbers, time: float, owner: NDArray[np.intp], counts: Numbers, stretch: NDArray[np.intp] | None
    ) -> Self:
        """Of one side's times, whose each is, how many each user has, and the stretches where they are known."""
        above = values > time
        hits = np.bincount(owner[above], minlength=len(counts)).astype(float)
        return cls(share=share_of(hits, counts, LIKENESS), spells=None if stretch is None else between(above, stretch))

    def low(self, alpha: float, times: float = 1.0) -> float:
        """The lower bound, by users or by stretches, whichever says less; of ``times`` as much of the same kind."""
        return min(self.share.low(alpha, times), self.share.share - self._reach(alpha, times))

    def high(self, alpha: float, times: float = 1.0) -> float:
        """The upper bound."""
        return max(self.share.high(alpha, times), self.share.share + self._reach(alpha, times))

    def _reach(self, alpha: float, times: float) -> float:
        if self.spells is None:
            return 0.0
        error, freedom = self.spells
        return student(alpha, freedom) * error / math.sqrt(times)


def apart(sides: Iterable[tuple[Above, Above]], rare: float, levels: Levels, times: float = 1.0) -> int:
    """1: dark's percentile, above which ``rare`` of its times lie, is above production's; -1: below; 0: cannot be told.

    ``sides``: production and dark, of one time between them or of several. Either sign errs with its level at the most.
    """
    for production, dark in sides:
        if _over(dark, production, rare, levels.low / 2, times):
            return 1
        if _over(production, dark, rare, levels.high / 2, times):
            return -1
    return 0


def _over(slow: Above, fast: Above, rare: float, alpha: float, times: float) -> bool:
    if not slow.share.share > rare > fast.share.share:
        return False  # as most are; bounds cost more
    return slow.low(alpha, times) > rare > fast.high(alpha, times)
