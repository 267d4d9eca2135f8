"""Fields that differ as a chart: of each the raw rate with its lower bound against the noise rate with its upper one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_ROWS = 14
_NAMES = 380
_CHARACTER = 7.6
_STEP = 34
RAW, NOISE = "raw, lower bound", "noise, upper bound"


def fields(found: Sequence[Mapping[str, Any]]) -> Any:
    """Two spans a field. Reported are those whose raw span begins right of where the noise span ends."""
    rows: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for at, one in enumerate(found[:MOST_ROWS]):
        mark = "✗ " if one["reported"] else ""
        names.append({"row": at, "text": mark + fig.clipped(f"{one['endpoint']}  {one['path']}", 46)})
        raw, noise = one["raw"] / one["total"], one["noise"] / one["total"]
        rows.append({"row": at, "kind": RAW, "at": raw, "low": one["raw_low"], "high": raw, "place": "a"})
        rows.append({"row": at, "kind": NOISE, "at": noise, "low": noise, "high": one["noise_high"], "place": "b"})
    left = min(_NAMES, 20 + round(_CHARACTER * max((len(name["text"]) for name in names), default=0)))
    # Of the square root: a hundredth and a whole stand on one scale, and 0 has a place.
    x = alt.X(
        "low:Q",
        title="share of the endpoint's compared requests (square-root scale)",
        axis=alt.Axis(format=".0%", values=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1]),
        scale=alt.Scale(type="sqrt", domain=[0, 1], range=[left, WIDTH - 40]),
    )
    y = alt.Y("row:O", axis=None, scale=alt.Scale(domain=list(range(len(names))), paddingInner=0.3))
    kinds = [RAW, NOISE]
    colour = alt.Color(
        "kind:N",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[palette.DARK.light, palette.SENT.light]),
        legend=alt.Legend(title=None),
    )
    spans = over(rows).mark_rule(strokeWidth=4).encode(x=x, x2="high:Q", y=y, yOffset="place:N", color=colour)
    marks = over(rows).mark_point(size=70, filled=True, opacity=1)
    points = marks.encode(x="at:Q", y=y, yOffset="place:N", color=colour)
    words = over(names).mark_text(align="right", fontSize=12.5, color=palette.INK.light)
    named = words.encode(x=alt.value(left - 12), y=y, text="text:N")
    return alt.layer(spans, points, named).properties(width=WIDTH, height=_STEP * max(len(names), 1))
