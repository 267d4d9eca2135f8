"""What every chart is drawn on: its width, its font and the look of axes and legends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
from altair import SCHEMA_VERSION

from darktime.report import palette

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FONT", "SCHEMA_VERSION", "WIDTH", "configured", "log_scale", "log_ticks", "over"]

WIDTH = 860
_STEPS = (1, 2, 5, 10)
_FEW_DECADES = 2
FONT = "Helvetica, Arial, sans-serif"


def over(rows: list[dict[str, Any]]) -> alt.Chart:
    """A chart of these rows, still without marks."""
    return alt.Chart(alt.InlineData(values=rows))


def log_ticks(figures: Iterable[float | None]) -> list[float]:
    """Round figures around those given, first to last: 1, 2, 5 over few decades, powers of ten over many."""
    known = [figure for figure in figures if figure is not None and figure > 0] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    ticks = [step * 10.0**power for power in range(low, max(high, low + 1)) for step in _STEPS[:3]]
    ticks.append(10.0 ** max(high, low + 1))
    first = max((at for at, tick in enumerate(ticks) if tick <= min(known)), default=0)
    last = min((at for at, tick in enumerate(ticks) if tick >= max(known)), default=len(ticks) - 1)
    shown = ticks[first : max(last, first + 1) + 1]
    if high - low <= _FEW_DECADES:
        return shown
    tens = [tick for tick in shown if math.log10(tick).is_integer()]
    return sorted({shown[0], *tens, shown[-1]})


def log_scale(ticks: list[float]) -> alt.Scale:
    """A log scale from the first tick to the last."""
    return alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False, clamp=True)


def configured(chart: Any) -> dict[str, Any]:
    """The chart's Vega-Lite specification in the report's look."""
    spec: dict[str, Any] = chart.to_dict()
    ink, muted, rule = palette.INK.light, palette.MUTED.light, palette.RULE.light
    spec["background"] = None
    spec["padding"] = 4
    spec["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "text": {"color": ink, "font": FONT},
        "axis": {
            "labelColor": muted,
            "titleColor": muted,
            "titleFontWeight": "normal",
            "titleFontSize": 12,
            "labelFontSize": 12,
            "gridColor": rule,
            "domain": False,
            "domainColor": rule,
            "ticks": False,
            "titlePadding": 12,
            "labelPadding": 6,
        },
        "title": {
            "anchor": "start",
            "frame": "group",
            "fontSize": 12.5,
            "fontWeight": "normal",
            "color": ink,
            "font": FONT,
            "offset": 10,
        },
        "legend": {
            "orient": "top",
            "labelColor": ink,
            "labelFontSize": 12,
            "title": None,
            "symbolSize": 110,
            "columnPadding": 22,
            "offset": 16,
            "layout": {"top": {"anchor": "start", "direction": "horizontal", "margin": 24}},
            "symbolStrokeWidth": 0,
            "symbolType": "square",
        },
    }
    return spec
