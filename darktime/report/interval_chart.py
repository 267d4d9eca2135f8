"""Two runs compared: of each figure the ratio of B to A with its interval, around the line where both are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, log_scale, log_ticks, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTCOMES = ("better", "worse", "cannot tell")
_COLOURS = [palette.RECEIVED.light, palette.WRONG.light, palette.SENT.light]
_SHAPES = ["circle", "triangle-up", "square"]
_NAMES = 300
_CHARACTER = 8.3  # of a name, in the widest of the usual fonts
_WORDS = 200
_ROW = 40
_FARTHEST = 1_000.0  # times; what is farther from equal is drawn at the edge, and written beside it


def comparable(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The figures whose ratio has an interval."""
    return [metric for metric in metrics if all(metric[key] for key in ("ratio", "low", "high"))]


def intervals(metrics: Sequence[Mapping[str, Any]]) -> Any:
    """One line a figure: from the lower end of its interval to the upper, its mark where the ratio is."""
    rows = [
        {
            "name": fig.clipped(metric["name"], 24),
            "ratio": metric["ratio"],
            "low": metric["low"],
            "high": metric["high"],
            "outcome": metric["outcome"],
            "text": f"{fig.ratio(metric['ratio'])}, {metric['outcome']}",
        }
        for metric in comparable(metrics)
    ]
    order = [row["name"] for row in rows]
    shown = [min(max(row[key], 1 / _FARTHEST), _FARTHEST) for row in rows for key in ("low", "high", "ratio")]
    ticks = log_ticks([1.0, *shown])
    extent = min(_NAMES, 16 + max((round(_CHARACTER * len(name)) for name in order), default=0))
    height = _ROW * max(len(rows), 1)
    y = alt.Y(
        "name:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelFontSize=13, labelLimit=_NAMES, labelColor=palette.INK.light, minExtent=extent),
    )
    x = alt.X(
        "low:Q",
        title="B / A (log)",
        axis=alt.Axis(values=ticks, format="~g"),
        scale=log_scale(ticks),
    )
    colour = alt.Color(
        "outcome:N", sort=list(OUTCOMES), scale=alt.Scale(domain=list(OUTCOMES), range=_COLOURS), legend=None
    )
    shape = alt.Shape(
        "outcome:N", sort=list(OUTCOMES), scale=alt.Scale(domain=list(OUTCOMES), range=_SHAPES), legend=None
    )
    equal = over([{"low": 1}]).mark_rule(color=palette.MUTED.light, strokeDash=[4, 3]).encode(x=x)
    spans = over(rows).mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=colour)
    marks = over(rows).mark_point(size=130, filled=True, opacity=1).encode(x="ratio:Q", y=y, color=colour, shape=shape)
    drawn = alt.layer(equal, spans, marks).properties(width=WIDTH - extent - _WORDS, height=height)
    words = (
        over(rows)
        .mark_text(align="left", fontSize=12, color=palette.INK.light)
        .encode(x=alt.value(0), y=alt.Y("name:N", sort=order, axis=None), text="text:N")
        .properties(width=_WORDS - 40, height=height)
    )
    return alt.hconcat(drawn, words, spacing=16)
