"""The pairs as columns: one row a pair, users and endpoints as numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from darktime.split.compare import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from darktime.split.compare import Difference, Pair

    Flags = NDArray[np.bool_]

SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Table:
    """``owner`` and ``endpoint`` are numbers; ``endpoints`` has the names, in the order in which they came.

    ``at``: when a request began, seconds UTC.

    ``worse``: only the dark answer is an error; ``better``: only production's is; ``differs``: neither is, and they differ.
    """

    owner: NDArray[np.intp]
    endpoint: NDArray[np.intp]
    endpoints: tuple[str, ...]
    at: NDArray[np.float64]
    production: NDArray[np.float64]
    dark: NDArray[np.float64]
    failed: tuple[Flags, Flags]  # production's, dark's
    differs: Flags

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Table:
        """The table of some pairs, in their order."""
        owners, names = _numbers([pair.user for pair in pairs]), _numbers([pair.endpoint for pair in pairs])
        failed = [np.array([is_error(status) for status in side], dtype=bool) for side in _statuses(pairs)]
        return cls(
            owner=owners[0],
            endpoint=names[0],
            endpoints=names[1],
            at=np.array([pair.at for pair in pairs], dtype=float),
            production=np.array([pair.production.seconds for pair in pairs], dtype=float),
            dark=np.array([pair.dark.seconds for pair in pairs], dtype=float),
            failed=(failed[0], failed[1]),
            differs=np.array([bool(differences(pair)) for pair in pairs], dtype=bool),
        )

    @property
    def worse(self) -> Flags:
        """Where only the dark answer is an error."""
        return self.failed[1] & ~self.failed[0]

    @property
    def better(self) -> Flags:
        """Where only production's answer is an error."""
        return self.failed[0] & ~self.failed[1]

    def rows(self, number: int) -> NDArray[np.intp]:
        """The rows of an endpoint."""
        return np.flatnonzero(self.endpoint == number)

    def owners(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Whose these rows are, users numbered anew from 0."""
        return np.unique(self.owner[rows], return_inverse=True)[1]


def is_error(status: int) -> bool:
    """Whether an answer is the server's own failure; 0: there was none."""
    return status >= SERVER_ERROR or status == 0


def differences(pair: Pair) -> tuple[Difference, ...]:
    """How two answers differ, neither of which is an error: errors are counted apart."""
    return () if is_error(pair.production.status) or is_error(pair.dark.status) else compare(pair)


def _statuses(pairs: Sequence[Pair]) -> tuple[list[int], list[int]]:
    return [pair.production.status for pair in pairs], [pair.dark.status for pair in pairs]


def _numbers(names: Sequence[str]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    known: dict[str, int] = {}
    numbers = [known.setdefault(name, len(known)) for name in names]
    return np.array(numbers, dtype=np.intp), tuple(known)
