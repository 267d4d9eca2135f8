"""Which of a row of things a fault hits: an exact share, or every Kth. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = 1_000_000  # shares are counted in millionths: sums of floats would miss the last one


class Share:
    """Of any n things in a row it hits n * share, rounded down: how many is known however they are mixed."""

    def __init__(self, share: float) -> None:
        """Raises ValueError for a share that is none."""
        if not 0 <= share <= 1:
            raise ValueError(f"{share}: a share from 0 to 1 is needed")
        self._millionths = round(share * _WHOLE)
        self._sum = 0

    def hits(self) -> bool:
        """Whether the next one is hit."""
        self._sum += self._millionths
        if self._sum < _WHOLE:
            return False
        self._sum -= _WHOLE
        return True


class Every:
    """Hits every ``step``-th; 0: none."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._count = 0

    def hits(self) -> bool:
        """Whether the next one is hit."""
        self._count += 1
        if self._count != self._step:
            return False
        self._count = 0
        return True


class Mix:
    """Deals names out in a smooth row: of n, each gets n * its share, give or take one."""

    def __init__(self, shares: Mapping[str, float], rest: str) -> None:
        """``rest`` gets what is left. Raises ValueError for shares that are none, or more than 1 together."""
        self._shares = {name: round(share * _WHOLE) for name, share in shares.items() if share}
        left = _WHOLE - sum(self._shares.values())
        if left < 0 or any(share < 0 for share in self._shares.values()):
            raise ValueError(f"{dict(shares)}: shares of 0 to 1 are needed that make at most 1 together")
        self._shares[rest] = left
        self._credit = dict.fromkeys(self._shares, 0)

    def next(self) -> str:
        """The next one's name: that with the most credit."""
        credit = self._credit
        for name, share in self._shares.items():
            credit[name] += share
        chosen = max(credit, key=credit.__getitem__)
        credit[chosen] -= _WHOLE
        return chosen
