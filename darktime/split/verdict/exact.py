"""Exact limits of counts: binomial limits, McNemar's test, quantiles of Beta and Student's t. Pure; no tables."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_STEPS: Final = 300
_TINY: Final = 1e-300
_EPSILON: Final = 1e-15
_MOST_TRIES: Final = 200
_EXACT: Final = 1e-12


def mcnemar(worse: int, better: int) -> float:
    """The two-sided p of McNemar's exact test: that so uneven a split of discordant pairs is chance. In (0, 1].

    McNemar, Psychometrika 12 (1947); the exact form is the binomial test of ``worse`` among all discordant pairs at 1/2.
    """
    count, least = worse + better, min(worse, better)
    if worse == better:
        return 1.0
    return min(1.0, 2 * _beta_cdf(0.5, count - least, least + 1))


def lower_limit(hits: float, count: float, alpha: float) -> float:
    """Below it a share lies with probability ``alpha`` at the most. Counts need not be whole: they may be effective sizes.

    Clopper and Pearson, Biometrika 26 (1934); so is ``upper_limit``.
    """
    return beta_quantile(alpha, hits, count - hits + 1) if hits > 0 and count > 0 else 0.0


def upper_limit(hits: float, count: float, alpha: float) -> float:
    """Above it a share lies with probability ``alpha`` at the most."""
    return beta_quantile(1 - alpha, hits + 1, count - hits) if hits < count else 1.0


@lru_cache(maxsize=1024)
def student(alpha: float, freedom: float) -> float:
    """The t that is exceeded with probability ``alpha`` (below 1/2) at so many degrees of freedom, which may be a fraction."""
    x = beta_quantile(2 * alpha, freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / max(x, _TINY))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x in [0, 1] below which a Beta(a, b) lies with that probability.

    Newton's steps in the logarithm of x, so that a small x is as exact; halved brackets where a step leaves them.
    """
    low, high = math.log(_TINY), 0.0
    at = math.log(a / (a + b))
    for _ in range(_MOST_TRIES):
        x = math.exp(at)
        off = _beta_cdf(x, a, b) - probability
        low, high = (at, high) if off < 0 else (low, at)
        slope = math.exp(_log_front(x, a, b)) / max(1 - x, _TINY)  # of the distribution, by the logarithm of x
        step = at - off / slope if slope > 0 else math.inf
        step = step if low < step < high else (low + high) / 2
        if abs(step - at) <= _EXACT:
            return math.exp(step)
        at = step
    return math.exp(at)


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(1 - x, b, a)
    return min(1.0, math.exp(_log_front(x, a, b)) / (a * _fraction(x, a, b)))


def _log_front(x: float, a: float, b: float) -> float:
    """The logarithm of x ** a * (1 - x) ** b / B(a, b)."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)), by Lentz's method as Thompson and Barnett changed it (1986)."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _STEPS + 1):
        half = step // 2
        if step % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value
