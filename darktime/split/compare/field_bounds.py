"""The bounds that say whether a field is reported: from below of its raw rate, from above of its noise rate. Pure.

The field table tells them apart without them; whoever reads its result wants to see how near they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from darktime.split.compare import bounds
from darktime.split.compare.difference import KINDS
from darktime.split.compare.field_table import FALSE_ALARM

if TYPE_CHECKING:
    from darktime.split.compare.finding import FieldFinding


def field_bounds(one: FieldFinding, looked_at: int) -> dict[str, float]:
    """``raw_low`` and ``noise_high``, shares of the endpoint's compared requests. ``looked_at``: fields, as the table says."""
    error = FALSE_ALARM / (2 * max(1, looked_at * len(KINDS)))
    return {
        "raw_low": round(1 - _upper(one.total - one.raw, one.total, error), 6),
        "noise_high": round(_upper(one.noise, one.total, error), 6),
    }


# Many fields of one endpoint differ equally often: in every request, or in none.
@lru_cache(maxsize=1024)
def _upper(hits: int, count: int, error: float) -> float:
    return bounds.upper(hits, count, error)
