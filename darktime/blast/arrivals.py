"""When requests are due, planned ahead: even, random, along a curve of rates, or as recorded. Pure.

The caller owns the clock. Several workers offer one plan together: of a plan that is fixed number by number each takes
every so-many-th, so that all together send exactly the plan; of random arrivals each draws its own, with its share of
the rate.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Arrivals(Protocol):
    """A plan of due times, in seconds from its start."""

    def due(self, until_s: float) -> list[float]:
        """The due times up to and including ``until_s`` that were not given before."""

    def next_s(self) -> float:
        """When the next one is due; infinity when the plan is over."""


@dataclass(frozen=True, slots=True)
class Share:
    """Worker ``index`` (from 0) of ``workers`` that offer a plan together."""

    index: int = 0
    workers: int = 1


ALL = Share()


class _Numbered:
    """Every so-many-th number of a plan that knows when number n is due; infinity where there is none."""

    def __init__(self, due_s: Callable[[int], float], share: Share) -> None:
        self._due_s = due_s
        self._number = share.index
        self._step = share.workers
        self._next = due_s(share.index)

    def due(self, until_s: float) -> list[float]:
        times: list[float] = []
        at, number, step, due_s = self._next, self._number, self._step, self._due_s
        while at <= until_s:
            times.append(at)
            number += step
            at = due_s(number)
        self._next, self._number = at, number
        return times

    def next_s(self) -> float:
        return self._next


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


class _Curve:
    """Rates that change evenly from point to point; number n is due where the area below the curve reaches n."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = tuple(points)
        self._areas = [0.0]
        for (start, low), (end, high) in itertools.pairwise(points):
            self._areas.append(self._areas[-1] + (low + high) / 2 * (end - start))

    def due_s(self, number: int) -> float:
        """When number ``number`` (from 0) is due; infinity when the curve ends before."""
        if number >= self._areas[-1] - 1e-9:
            return math.inf
        at = bisect_right(self._areas, number) - 1
        (start, low), (end, high) = self._points[at], self._points[at + 1]
        missing = number - self._areas[at]
        slope = (high - low) / (end - start)
        if abs(slope) < 1e-12:  # noqa: PLR2004 - even within this piece
            return start + (missing / low if low else 0.0)
        # missing = low·t + slope·t²/2, solved for t
        return start + (math.sqrt(max(low * low + 2 * slope * missing, 0.0)) - low) / slope


def constant(rate_per_s: float, duration_s: float = math.inf, share: Share = ALL) -> Arrivals:
    """Number n is due at n / rate, for as long as that is before ``duration_s``.

    Raises ValueError for a rate of 0 or less.
    """
    _check(rate_per_s)
    # The epsilon keeps 0.1 s at 10/s from planning a second one because of binary fractions.
    count = math.inf if math.isinf(duration_s) else max(math.ceil(rate_per_s * duration_s - 1e-9), 0)
    return _Numbered(lambda number: number / rate_per_s if number < count else math.inf, share)


def poisson(rate_per_s: float, seed: int, duration_s: float = math.inf, share: Share = ALL) -> Arrivals:
    """Independent arrivals of that mean rate, the same for the same seed. Raises ValueError for a rate of 0 or less."""
    _check(rate_per_s)
    return _Poisson(rate_per_s / share.workers, duration_s, seed * share.workers + share.index)


def curve(points: Sequence[tuple[float, float]], share: Share = ALL) -> Arrivals:
    """Arrivals along (seconds, rate) points, the rate changing evenly between two: a ramp has two points.

    Raises ValueError for fewer than two points, times that do not rise and rates below 0.
    """
    if len(points) < 2 or points[0][0] < 0:  # noqa: PLR2004
        raise ValueError(f"a curve of {len(points)} points: at least two (seconds, rate), from second 0 on")
    for (before, _), (after, rate) in itertools.pairwise(points):
        if after <= before or not 0 <= rate < math.inf:
            raise ValueError(f"a curve's point ({after}, {rate}): its time must rise and its rate be 0 or more")
    if not 0 <= points[0][1] < math.inf:
        raise ValueError(f"a curve's point {points[0]}: its rate must be 0 or more")
    return _Numbered(_Curve(points).due_s, share)


def recorded(times_s: Sequence[float], share: Share = ALL) -> Arrivals:
    """Arrivals as they were recorded, in seconds from their start; they must not fall. Raises ValueError."""
    for before, after in itertools.pairwise(times_s):
        if after < before:
            raise ValueError(f"recorded arrivals must not fall: {after} follows {before}")
    count = len(times_s)
    return _Numbered(lambda number: times_s[number] if number < count else math.inf, share)


def _check(rate_per_s: float) -> None:
    if not 0 < rate_per_s < math.inf:
        raise ValueError(f"a rate of {rate_per_s}/s: it must be above 0 and finite")
