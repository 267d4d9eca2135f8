"""Latency percentile by percentile, the rare ones drawn as wide as the frequent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import palette
from darktime.report.canvas import WIDTH, log_scale, log_ticks, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LABELLED = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
# Of each curve its key and its word.
CURVES = (("latency", "from the planned time"), ("service", "from sending"))
_LOOKS = ((palette.PRODUCTION, [1, 0]), (palette.DARK, [6, 4]), (palette.RECEIVED, [2, 3]))
_ALL = 100.0


def spectrum(seen: Mapping[str, Sequence[Sequence[float]]], curves: Sequence[tuple[str, str]] = CURVES) -> Any:
    """At most three curves over 1/(1-p), where the maximum has no place: it is in the table."""
    rows: list[dict[str, Any]] = [
        {"x": x, "ms": value, "kind": kind} for key, kind in curves for x, value in _points(seen[key])
    ]
    looks = {word: look for (_, word), look in zip(curves, _LOOKS, strict=False)}
    kinds = [kind for _, kind in curves if any(row["kind"] == kind for row in rows)]
    top = max((row["x"] for row in rows), default=2.0)
    values = [x for x in (_far(percent) for percent in LABELLED) if x <= top * 1.01]
    ticks = log_ticks(row["ms"] for row in rows)
    x = alt.X(
        "x:Q",
        title="percentile (as 1 / (1 \N{MINUS SIGN} p))",
        axis=alt.Axis(values=values, labelExpr="format(round((100 - 100 / datum.value) * 1e5) / 1e5, '~r')", grid=True),
        scale=alt.Scale(type="log", domain=[1, max(top, 10)], nice=False),
    )
    y = alt.Y("ms:Q", title="milliseconds (log)", axis=alt.Axis(values=ticks, format=",~g"), scale=log_scale(ticks))
    legend = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2.5)
    return (
        over(rows)
        .mark_line(strokeWidth=2.2, interpolate="monotone")
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(domain=list(looks), range=[colour.light for colour, _ in looks.values()]),
                legend=legend,
            ),
            strokeDash=alt.StrokeDash(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(domain=list(looks), range=[dash for _, dash in looks.values()]),
                legend=legend,
            ),
        )
        .properties(width=WIDTH - 60, height=260)
    )


def _far(percent: float) -> float:
    return 1 / (1 - percent / _ALL)


def _points(curve: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return [(_far(percent), value) for percent, value in curve if value > 0 and percent < _ALL]
