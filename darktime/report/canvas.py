"""What every chart is drawn on: its width, its font and the look of axes and legends."""

from __future__ import annotations

from typing import Any

import altair as alt
from altair import SCHEMA_VERSION

from darktime.report import palette

__all__ = ["FONT", "SCHEMA_VERSION", "WIDTH", "configured", "over"]

WIDTH = 860
FONT = "Helvetica, Arial, sans-serif"


def over(rows: list[dict[str, Any]]) -> alt.Chart:
    """A chart of these rows, still without marks."""
    return alt.Chart(alt.InlineData(values=rows))


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
        "legend": {
            "orient": "top",
            "labelColor": ink,
            "labelFontSize": 12,
            "title": None,
            "symbolSize": 110,
            "columnPadding": 22,
            "offset": 16,
            "symbolStrokeWidth": 0,
            "symbolType": "square",
        },
    }
    return spec
