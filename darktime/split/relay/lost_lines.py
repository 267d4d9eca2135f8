"""Lines that the kernel had no room for: until when they were lost, and how many requests they may explain. Pure.

Each datagram carries how many were dropped before it was taken, so a gap has its place among the lines. A request whose line
may lie in one is explained by it; each lost line explains one at the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from darktime.split.log_format import LogLine

# nginx's workers look at their clocks now and then, and one writes its line a little after another.
_SLACK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Gap:
    """So many lines were lost between the line before this and the line after it."""

    lost: int


class LostLines:
    """``left``: lost lines that have explained nothing yet. Times ``at`` and ``began`` are UTC, ``now`` is the caller's clock."""

    __slots__ = ("_clear_since", "_until", "left", "open")

    def __init__(self) -> None:
        self.left = 0
        self.open = False  # no line that says when it was written has come since
        self._until = -inf
        self._clear_since = inf  # all that was kept beside the lost ones has been read

    def gap(self, lost: int, at: float) -> None:
        """So many were lost, and the next line is read at that moment: no later were they written."""
        self.left += lost
        self._until = at
        self._clear_since = inf
        self.open = True

    def ended(self, line: LogLine) -> None:
        """The first line since: if it says when it was written, the lost ones were written before."""
        if line.took is not None:
            self._until = min(self._until, line.at + line.took + _SLACK_S)
            self.open = False

    def read(self, now: float) -> None:
        """Every line that has come by now has been read."""
        if self._clear_since == inf:
            self._clear_since = now

    def over_for(self, now: float) -> float:
        """How long nothing has been lost any more, and nothing waited behind a gap; negative: not yet, or never lost."""
        return now - self._clear_since if self.left else -inf

    def may_hold(self, began: float) -> bool:
        """Whether a line of a request that began then, and that has not come, may be one of them."""
        return self.left > 0 and began <= self._until

    def explain(self) -> None:
        """One of them is known now."""
        self.left -= 1
