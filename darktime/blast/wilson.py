"""Decides from a count of misses whether a share is below a limit, with Wilson's score interval. Pure."""

from __future__ import annotations

import math

# One-sided 95 %: a pass asks only for the upper bound and a failure only for the lower, so each errs in 1 of 20 cases.
Z_95 = 1.6449
# Of the misses that the limit allows, so many must have been possible: 300 requests for a p99, 3,000 for 0.1 %. With
# fewer, a run without a miss says nothing.
LEAST_EXPECTED = 3.0


def wilson(hits: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of the share behind ``hits`` of ``count``. (0, 1) for none. Raises ValueError for hits > count."""
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count}: hits lie between 0 and all")
    if not count:
        return 0.0, 1.0
    share, weight = hits / count, z * z / count
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    # At the ends the formula is exact, and its floating point is not.
    low = 0.0 if hits == 0 else max(centre - half, 0.0)
    high = 1.0 if hits == count else min(centre + half, 1.0)
    return low, high


def least_count(share: float) -> int:
    """How many must have been counted before a limit of ``share`` can be decided in favour."""
    return math.ceil(round(LEAST_EXPECTED / share, 6))


def below(hits: int, count: int, share: float) -> bool | None:
    """Whether the share of hits is below ``share``: True or False with 95 % confidence each, None: not decided.

    A limit of 0 allows no hit, and then what was seen is all there is to say: it is decided by the first.
    """
    if share <= 0:
        return (hits == 0) if count else None
    low, high = wilson(hits, count)
    if low > share:
        return False
    return True if high < share and count >= least_count(share) else None


def still_needed(hits: int, count: int, share: float) -> int | None:
    """How many more decide it if the share stays what it was; None when it lies on the limit and none would."""
    if share <= 0:
        return 0 if count else 1
    distance = abs(hits / count - share) if count else share
    if distance < share * 1e-6:
        return None
    # Wilson's bounds are where the score test turns: |seen - limit| = z * sqrt(limit * (1 - limit) / count).
    total = math.ceil(Z_95**2 * share * (1 - share) / distance**2) + 1
    return max(total - count, least_count(share) - count, 0)
