"""Where a series of seconds has warmed up, and whether it is steady from there: MSER-5 and a Theil-Sen slope. Pure."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from statistics import fmean, median
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
Z_95 = 1.96
# A slope that changes the level by less over the whole window is none, however sure one can be of it; nor is a
# beginning warm-up that differs from the rest by less.
NEGLIGIBLE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """``discard``: how many values at the beginning are warm-up. ``slope``: of the rest, a value's, with its bounds.

    ``steady``: the rest may be used; None when there are too few values to tell. ``why`` says why not.
    """

    discard: int
    slope: float
    slope_low: float
    slope_high: float
    steady: bool | None
    why: str = ""


def warm_up(values: Sequence[float]) -> Warmup:
    """Judge one mean a second, oldest first."""
    if len(values) < LEAST_VALUES:
        why = f"{len(values)} seconds are too few to tell"
        return Warmup(discard=0, slope=0.0, slope_low=-math.inf, slope_high=math.inf, steady=None, why=why)
    discard = mser(values)
    if discard and abs(fmean(values[:discard]) - fmean(values[discard:])) <= NEGLIGIBLE * abs(fmean(values[discard:])):
        discard = 0  # the beginning was like the rest
    rest = values[discard:]
    slope, low, high = theil_sen(rest)
    why = ""
    if discard > len(values) / 2:
        why = f"it warmed up for {discard} of {len(values)} seconds: measure longer"
    elif not low <= 0 <= high and abs(slope) * len(rest) > NEGLIGIBLE * abs(fmean(rest)):
        why = f"it still {'rises' if slope > 0 else 'falls'}: {slope:+.3g} a second (95 %: {low:.3g} to {high:.3g})"
    return Warmup(discard=discard, slope=slope, slope_low=low, slope_high=high, steady=not why, why=why)


def mser(values: Sequence[float]) -> int:
    """How many to drop so that the mean of the rest is surest: least variance over the square of how many remain.

    In means of five where the series is long.
    """
    size = BATCH if len(values) >= BATCHED_FROM else 1
    means = [fmean(values[at : at + size]) for at in range(0, len(values) - size + 1, size)]
    last = max(len(means) - max(LEAST_TAIL, int(len(means) * LEAST_TAIL_SHARE)), 0)
    return size * min(range(last + 1), key=lambda drop: (_surety(means[drop:]), drop))


def _surety(tail: Sequence[float]) -> float:
    mean = fmean(tail)
    # Rounded: of a constant series every tail is as good, and the first of them is meant.
    return round(sum((value - mean) ** 2 for value in tail) / len(tail) ** 2, 12)


def theil_sen(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of all slopes between two values, and its 95 % bounds by Kendall's variance.

    One value or none: no slope, and bounds that exclude nothing.
    """
    count = len(values)
    slopes = sorted(
        (later - earlier) / (at_later - at)
        for (at, earlier), (at_later, later) in itertools.combinations(enumerate(values), 2)
    )
    if not slopes:
        return 0.0, -math.inf, math.inf
    ties = sum(times * (times - 1) * (2 * times + 5) for times in Counter(values).values())
    deviation = math.sqrt(max(count * (count - 1) * (2 * count + 5) - ties, 0) / 18)
    half = Z_95 * deviation
    low, high = math.floor((len(slopes) - half) / 2), math.ceil((len(slopes) + half) / 2)
    return (
        median(slopes),
        slopes[low] if low >= 0 else -math.inf,
        slopes[high] if high < len(slopes) else math.inf,
    )
