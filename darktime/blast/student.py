"""Student's t, for intervals of means of a few values. Pure."""

from __future__ import annotations

import math


def inside(t: float, freedom: int) -> float:
    """The share of Student's t with so many degrees of freedom that lies within -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for at in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * ((at - 1) / at)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def quantile(share: float, freedom: int) -> float:
    """The t within which, to either side, ``share`` lies. Raises ValueError outside of 0 to 1, or without freedom."""
    if not 0 < share < 1 or freedom < 1:
        raise ValueError(
            f"share {share} of t with {freedom} degrees of freedom: between 0 and 1, and at least 1 degree"
        )
    low, high = 0.0, 1.0
    while inside(high, freedom) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle, freedom) < share else (low, middle)
    return high
