"""The bounds that say whether a field is reported: from below of its raw rate, from above of its noise rate. Pure.

The field table tells them apart without them; whoever reads its result wants to see how near they are. ``spent`` is what all
fields together may err with: of several looks at growing data each has a part.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from darktime.split.compare import bounds
from darktime.split.compare.difference import KINDS
from darktime.split.compare.field_table import FALSE_ALARM

if TYPE_CHECKING:
    from darktime.split.compare.finding import FieldFinding


def at(one: FieldFinding, looked_at: int, spent: float) -> FieldFinding:
    """The finding as bounds have it that err so rarely: whether it is reported may be another matter then."""
    error = _error(looked_at, spent)
    more = bounds.above(one.raw, one.total, _upper(one.noise, one.total, error), error)
    return replace(one, reported=more and not one.masked)


def field_bounds(one: FieldFinding, looked_at: int, spent: float = FALSE_ALARM) -> dict[str, float]:
    """``raw_low`` and ``noise_high``, shares of the endpoint's compared requests. ``looked_at``: fields, as the table says."""
    error = _error(looked_at, spent)
    return {
        "raw_low": round(1 - _upper(one.total - one.raw, one.total, error), 6),
        "noise_high": round(_upper(one.noise, one.total, error), 6),
    }


def _error(looked_at: int, spent: float) -> float:
    return spent / (2 * max(1, looked_at * len(KINDS)))


# Many fields of one endpoint differ equally often: in every request, or in none.
@lru_cache(maxsize=1024)
def _upper(hits: int, count: int, error: float) -> float:
    return bounds.upper(hits, count, error)
