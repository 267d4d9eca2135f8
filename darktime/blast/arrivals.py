"""When requests are due, planned ahead: even, or random with exponential gaps. Pure; the caller owns the clock."""

from __future__ import annotations

import math
from random import Random
from typing import Protocol


class Arrivals(Protocol):
    """A plan of due times, in seconds from its start."""

    def due(self, until_s: float) -> list[float]:
        """The due times up to and including ``until_s`` that were not given before."""

    def next_s(self) -> float:
        """When the next one is due; infinity when the plan is over."""


class _Constant:
    def __init__(self, rate_per_s: float, duration_s: float) -> None:
        self._rate = rate_per_s
        # The epsilon keeps 0.1 s at 10/s from planning a second one because of binary fractions.
        self._count = math.inf if math.isinf(duration_s) else max(math.ceil(rate_per_s * duration_s - 1e-9), 0)
        self._given = 0

    def due(self, until_s: float) -> list[float]:
        stop = int(min(math.floor(until_s * self._rate + 1e-9) + 1, self._count))
        first, self._given = self._given, max(stop, self._given)
        rate = self._rate
        return [number / rate for number in range(first, self._given)]

    def next_s(self) -> float:
        return self._given / self._rate if self._given < self._count else math.inf


class _Poisson:
    def __init__(self, rate_per_s: float, duration_s: float, seed: int) -> None:
        self._rate = rate_per_s
        self._end = duration_s
        self._random = Random(seed)
        self._next = self._random.expovariate(rate_per_s)

    def due(self, until_s: float) -> list[float]:
        times: list[float] = []
        limit = min(until_s, self._end)
        while self._next <= limit:
            times.append(self._next)
            self._next += self._random.expovariate(self._rate)
        return times

    def next_s(self) -> float:
        return self._next if self._next <= self._end else math.inf


def constant(rate_per_s: float, duration_s: float = math.inf) -> Arrivals:
    """Number n is due at n / rate, for as long as that is before ``duration_s``.

    Raises ValueError for a rate of 0 or less.
    """
    _check(rate_per_s)
    return _Constant(rate_per_s, duration_s)


def poisson(rate_per_s: float, seed: int, duration_s: float = math.inf) -> Arrivals:
    """Independent arrivals of that mean rate, the same for the same seed. Raises ValueError for a rate of 0 or less."""
    _check(rate_per_s)
    return _Poisson(rate_per_s, duration_s, seed)


def _check(rate_per_s: float) -> None:
    if not 0 < rate_per_s < math.inf:
        raise ValueError(f"a rate of {rate_per_s}/s: it must be above 0 and finite")
