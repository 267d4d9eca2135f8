"""What happened over time: lines and bars over the seconds of a run, one panel a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report.canvas import WIDTH, log_scale, log_ticks, over
from darktime.report.series import thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.panels import Panel, Trace

_EXTENT = 52  # room for any panel's figures, so that all panels begin at the same place
_SI_FROM = 10_000  # written as 10k from here on


def over_time(series: Sequence[Mapping[str, Any]], panels: Sequence[Panel]) -> Any:
    """The panels one above the other, all over the same seconds."""
    keys = [trace.key for panel in panels for trace in panel.traces]
    rows = thinned(series, keys)
    drawn = [_panel(rows, panel, last=panel is panels[-1]) for panel in panels]
    if len(drawn) == 1:
        return drawn[0]
    return alt.vconcat(*drawn, spacing=20).resolve_scale(
        x="shared", color="independent", strokeDash="independent", shape="independent"
    )


def _panel(rows: Sequence[Mapping[str, Any]], panel: Panel, *, last: bool) -> Any:
    words = [trace.word for trace in panel.traces]
    legend = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2.5) if len(words) > 1 else None
    colour = alt.Color(
        "word:N",
        sort=words,
        scale=alt.Scale(domain=words, range=[trace.colour.light for trace in panel.traces]),
        legend=legend,
    )
    end = rows[-1]["t"] if rows else 1
    x = alt.X(
        "t:Q",
        title="seconds since the start" if last else None,
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=12),
        scale=alt.Scale(domain=[rows[0]["t"] if rows else 0, max(end, 1)], nice=False, padding=4),
    )
    top = max((row[trace.key] or 0 for row in rows for trace in panel.traces), default=0)
    written = "~s" if top >= _SI_FROM else panel.format
    axis = alt.Axis(tickCount=3, format=written, minExtent=_EXTENT)
    y = alt.Y("n:Q", title=None, axis=axis, scale=alt.Scale(zero=True))
    if panel.log:
        ticks = log_ticks(row[trace.key] for row in rows for trace in panel.traces)
        y = alt.Y(
            "n:Q", title=None, axis=alt.Axis(values=ticks, format=",~g", minExtent=_EXTENT), scale=log_scale(ticks)
        )
    layers = []
    for trace in panel.traces:
        points = [{"t": row["t"], "n": row[trace.key], "word": trace.word} for row in rows]
        least = 0 if panel.log else -1
        chart = over([point for point in points if point["n"] is not None and point["n"] > least])
        if trace.look == "bars":
            width = max(min((WIDTH - 60) / max(len(rows), 1) * 0.7, 10), 1)
            mark = chart.transform_filter("datum.n > 0").mark_bar(width=width, aria=False)
        else:
            mark = chart.mark_line(strokeWidth=2 if trace.look == "line" else 1.5, strokeDash=_dash(trace))
        layers.append(mark.encode(x=x, y=y, color=colour))
    title = alt.TitleParams(panel.title)
    return alt.layer(*layers).properties(width=WIDTH - 60, height=panel.height, title=title)


def _dash(trace: Trace) -> list[float]:
    return [5, 4] if trace.look == "dashed" else [1, 0]
