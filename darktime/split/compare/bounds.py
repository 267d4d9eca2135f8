"""Exact bounds of a share: Clopper and Pearson (1934), from the binomial distribution itself. Pure.

Wilson's interval is shorter, but where a chance of error of 1 in 10,000 is asked of a field that was seen to differ twice
it does not keep what it promises; these do at every count.
"""

from __future__ import annotations

import math
from typing import Final

_TINY: Final = 1e-300
_PRECISION: Final = 1e-12
_TURNS: Final = 500
_HALVINGS: Final = 60


def upper(hits: int, count: int, error: float) -> float:
    """The share of which so few as ``hits`` of ``count`` are seen with probability ``error`` only."""
    if hits >= count:
        return 1.0
    if hits == 0:
        return float(1 - error ** (1 / count))
    low, high = hits / count, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - at_least(hits + 1, count, middle) > error else (low, middle)
    return high


def above(hits: int, count: int, share: float, error: float) -> bool:
    """Whether the lower bound of the share behind ``hits`` of ``count`` is above ``share``."""
    return hits > share * count and at_least(hits, count, share) < error


def at_least(hits: int, count: int, share: float) -> float:
    """The probability of ``hits`` or more of ``count``: the regularised incomplete beta function of ``share``."""
    if hits <= 0:
        return 1.0
    if hits > count or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    return _beta(hits, count - hits + 1, share)


def _beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), by its continued fraction (DLMF 8.17.22), which Lentz's method evaluates from the front."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    whole = d
    for turn in range(1, _TURNS):
        for factor in (
            turn * (b - turn) * x / ((a + 2 * turn - 1) * (a + 2 * turn)),
            -(a + turn) * (a + b + turn) * x / ((a + 2 * turn) * (a + 2 * turn + 1)),
        ):
            d = 1 / _apart(1 + factor * d)
            c = _apart(1 + factor / c)
            whole *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return min(1.0, front * whole / a)


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
