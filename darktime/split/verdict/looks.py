"""How often was looked: each look may err a little less, so that all of them together err no more than one would. Pure.

Look k spends alpha / (k (k + 1)) of alpha, and 1/2 + 1/6 + 1/12 + ... is 1: the sum over any number of looks stays below it.
False GOs and false NO-GOs have an alpha each. A GO needs every bound within its margin, so each may be tested at the whole of
what the look may spend (the intersection-union test, Berger 1982). A NO-GO needs one bound beyond its margin: there it is
shared out between errors, differences and latency, and within each over all requests and the endpoints (Bonferroni).
"""

from __future__ import annotations

from darktime.errors import UsageError
from darktime.split.verdict.clusters import Levels

FAMILIES = 3  # errors, differences, latency


def alpha(confidence: float, look: int) -> float:
    """What the look-th look at growing data may err with. Raises UsageError for a look before the first."""
    if look < 1:
        raise UsageError(f"look {look}: the first look at a split's pairs is 1")
    return (1 - confidence) / (look * (look + 1))


def levels(confidence: float, look: int, tests: float) -> Levels:
    """What each bound may err with, where a family makes so many tests for a NO-GO."""
    spent = alpha(confidence, look)
    return Levels(low=spent / FAMILIES / tests, high=spent)
