"""Whether enough requests carry the key: of too few nobody can speak for the others. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_SHARE: Final = 0.01
# So unlikely must it be that as many carry it, before a run is ended: 459 requests of whom nobody does.
_DOUBT: Final = 0.01


def too_few(keyed: Mapping[str, int], key: str) -> str | None:
    """Why the run makes no sense with this key; None while it may.

    ``keyed``: how many of the census carry a ``valid`` key, an ``unusable`` one, or ``none``. The share is below a
    hundredth where otherwise so few valid ones would come by chance less than once in a hundred times (binomial).
    """
    valid, unusable, none = keyed["valid"], keyed["unusable"], keyed["none"]
    seen = valid + unusable + none
    if _chance_of_at_most(valid, seen) >= _DOUBT:
        return None
    more = f"; {unusable:,} carried one that is no user (1 to 128 letters, digits, _ . : or -)" if unusable else ""
    return (
        f"of {seen:,} requests that were looked at, {valid:,} carried {key}{more}: fewer than {LEAST_SHARE:.0%} carry a "
        f"user, so that {key} splits nobody; 'darktime plan --log' says which key would serve"
    )


def _chance_of_at_most(hits: int, tries: int) -> float:
    """Of so few hits or fewer, where each try hits with the least share that is enough."""
    if hits >= tries * LEAST_SHARE:
        return 1.0
    logs = (
        math.lgamma(tries + 1) - math.lgamma(some + 1) - math.lgamma(tries - some + 1)
        + some * math.log(LEAST_SHARE) + (tries - some) * math.log1p(-LEAST_SHARE)
        for some in range(hits + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))
