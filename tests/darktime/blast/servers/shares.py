"""Which of a row of things a fault hits: an exact share, or every Kth. Pure."""

from __future__ import annotations


class Share:
    """Of any n things in a row it hits n * share, rounded down: how many is known however they are mixed."""

    def __init__(self, share: float) -> None:
        """Raises ValueError for a share that is none."""
        if not 0 <= share <= 1:
            raise ValueError(f"{share}: a share from 0 to 1 is needed")
        # Counted in millionths: sums of floats would miss the last one.
        self._millionths = round(share * 1_000_000)
        self._sum = 0

    def hits(self) -> bool:
        """Whether the next one is hit."""
        self._sum += self._millionths
        if self._sum < 1_000_000:
            return False
        self._sum -= 1_000_000
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
