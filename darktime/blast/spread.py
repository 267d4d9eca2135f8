"""How far apart the subscribers of a channel get one event: from the first to the last. Pure; bounded.

An event's account ends when the last subscriber has it, when all accounts are closed, or when too many are open.
"""

from __future__ import annotations

MAX_OPEN = 50_000


class Spreads:
    """``spans_s`` collects what was closed; take it and put an empty list there."""

    def __init__(self, most: int = MAX_OPEN) -> None:
        self.spans_s: list[float] = []
        self._most = most
        self._open: dict[tuple[int, int, int], list[float]] = {}  # first, last, how many have it

    def seen(self, event: tuple[int, int, int], first: float, last: float, *, times: int, of: int) -> None:
        """``times`` more of the channel's ``of`` subscribers got the event, between ``first`` and ``last``."""
        span = self._open.get(event)
        if span is None:
            if times >= of:
                if of > 1:
                    self.spans_s.append(last - first)
                return
            if len(self._open) >= self._most:
                self._end(self._open.pop(next(iter(self._open))))
            self._open[event] = [first, last, times]
            return
        span[0] = min(span[0], first)
        span[1] = max(span[1], last)
        span[2] += times
        if span[2] >= of:
            self._end(self._open.pop(event))

    def close(self) -> None:
        """End every account that is open."""
        for span in self._open.values():
            self._end(span)
        self._open.clear()

    def _end(self, span: list[float]) -> None:
        first, last, times = span
        if times > 1:
            self.spans_s.append(last - first)
