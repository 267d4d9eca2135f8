"""Where a series of seconds has warmed up: MSER-5 (White, 1997). Pure."""

from __future__ import annotations

from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 5
# A second's mean is a batch of many requests already. Of 400 steady series of 60 s, means of five made 16 % look as if
# they warmed up for more than half of the time, single seconds 1 %; only a long series has enough of such means.
BATCHED_FROM = 300
LEAST_VALUES = 6
# The tail that must remain, in values and as a share: the variance of a few is small by accident (13 % of steady series
# of 30 s without it, 4 % with it).
LEAST_TAIL = 4
LEAST_TAIL_SHARE = 1 / 3
# A beginning that differs from the rest by less is none.
NEGLIGIBLE = 0.05


def warm_up(values: Sequence[float]) -> int:
    """How many values at the beginning are warm-up: of one mean a second, oldest first. Of too few to tell, none."""
    if len(values) < LEAST_VALUES:
        return 0
    cold = mser(values)
    if not cold:
        return 0
    rest = fmean(values[cold:])
    return 0 if abs(fmean(values[:cold]) - rest) <= NEGLIGIBLE * abs(rest) else cold


def mser(values: Sequence[float]) -> int:
    """How many to drop so that the mean of the rest is surest: least variance over the square of how many remain.

    In means of five where the series is long.
    """
    size = BATCH if len(values) >= BATCHED_FROM else 1
    means = [fmean(values[at : at + size]) for at in range(0, len(values) - size + 1, size)]
    last = max(len(means) - max(LEAST_TAIL, int(len(means) * LEAST_TAIL_SHARE)), 0)
    surety = list(accumulate(reversed(means), _with, initial=(0, 0.0, 0.0)))[:0:-1]
    # Rounded: of a constant series every tail is as good, and the first of them is meant.
    return size * min(range(last + 1), key=lambda drop: (round(surety[drop][2] / surety[drop][0] ** 2, 12), drop))


def _with(tail: tuple[int, float, float], value: float) -> tuple[int, float, float]:
    """Count, mean and squared deviations of a tail with one value more (Welford)."""
    count, mean, squares = tail
    count += 1
    step = value - mean
    mean += step / count
    return count, mean, squares + step * (value - mean)
