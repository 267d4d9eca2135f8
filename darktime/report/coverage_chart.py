"""Coverage by endpoint as a chart: of each the share that was compared, against the share that a GO asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.bar_rows import Bar, bar_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ROWS = 20
_ENOUGH, _FEW, _LEFT = "compared", "compared, too few for a GO", "left without a comparison"


def coverage(seen: Mapping[str, Any]) -> Any:
    """The busiest endpoints, each as shares of its copies."""
    bars = []
    for one in seen["endpoints"][:MOST_ROWS]:
        share, few = one["coverage"], one["required"] and one["coverage"] < seen["least"]
        told = f"{fig.share(share)} of {fig.brief(round(one['pairs'] / share))}" if share else "none"
        parts = ((0.0, share, _FEW if few else _ENOUGH), (share, 1.0, _LEFT))
        bars.append(Bar(name=one["endpoint"], parts=parts, words=told, wrong=few))
    kinds = [(_ENOUGH, palette.RECEIVED), (_FEW, palette.WRONG), (_LEFT, palette.EXPLAINED)]
    return bar_rows(bars, kinds, top=1.0, limit=(seen["least"], f"{fig.share(seen['least'])} for a GO"))
