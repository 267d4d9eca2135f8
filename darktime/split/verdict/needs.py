"""What a WAIT needs: how many more pairs and users narrow a bound until it clears its margin, if there is such a number. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_TIMES: Final = 100.0
_BISECTIONS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """So many more of each; None: no number of them would tell, as far as can be seen."""

    pairs: int | None
    users: int | None

    def words(self, what: str) -> str:
        """What is needed to tell ``what``."""
        if self.pairs is None:
            return f"no number of pairs would tell {what}: it sits at its margin, so widen that or mend the code"
        return f"about {self.pairs:,} more pairs ({self.users:,} more users) to tell {what}"


def times_until(clears: Callable[[float], bool]) -> float:
    """How many times as many of the same kind clear the margin; infinite beyond a hundred times."""
    if not clears(MOST_TIMES):
        return math.inf
    low, high = 1.0, MOST_TIMES
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high


def need(times: float, pairs: int, users: int) -> Need:
    """What is missing of so many times what there is."""
    if times > MOST_TIMES:
        return Need(pairs=None, users=None)
    return Need(pairs=max(1, math.ceil(pairs * (times - 1))), users=max(1, math.ceil(users * (times - 1))))
