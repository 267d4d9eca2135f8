"""How many connections may begin now, where so many a second are allowed; a tenth of a second's worth at once. Pure."""

from __future__ import annotations

BURST_S = 0.1


class Pace:
    """``per_s``: None sets no limit."""

    def __init__(self, per_s: float | None, now: float) -> None:
        self._per_s = per_s
        self._allowance = 0.0
        self._at = now

    def room(self, wanted: int, now: float) -> int:
        """Of ``wanted`` connections, how many may begin."""
        if self._per_s is None:
            return wanted
        most = max(self._per_s * BURST_S, 1.0)
        self._allowance = min(self._allowance + (now - self._at) * self._per_s, most)
        self._at = now
        return min(wanted, int(self._allowance))

    def began(self, connections: int) -> None:
        """So many did."""
        self._allowance -= connections
