"""What happened over time: lines and bars over the seconds of a run, one panel a unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import palette
from darktime.report.canvas import WIDTH, log_scale, log_ticks, over
from darktime.report.series import thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.panels import Mark, Panel, Span, Trace

_EXTENT = 52  # room for any panel's figures, so that all panels begin at the same place
_SI_FROM = 10_000  # written as 10k from here on
_CHARACTER = 7.0  # of a mark's word, in the widest of the usual fonts
_ABOVE = 26  # where marks are named, the title stands above them


def over_time(
    series: Sequence[Mapping[str, Any]],
    panels: Sequence[Panel],
    *,
    span: Span | None = None,
    marks: Sequence[Mark] = (),
) -> Any:
    """The panels one above the other, all over the same seconds.

    ``span``: from where to where, else from the first row to the last; with it a line breaks where nothing was measured.
    ``marks``: moments within it, a line through every panel each.
    """
    keys = [trace.key for panel in panels for trace in panel.traces]
    rows = thinned(series, keys)
    drawn = [
        _panel(rows, panel, last=panel is panels[-1], span=span, marks=marks, named=panel is panels[0])
        for panel in panels
    ]
    if len(drawn) == 1:
        return drawn[0]
    return alt.vconcat(*drawn, spacing=20).resolve_scale(
        x="shared", color="independent", strokeDash="independent", shape="independent"
    )


def _panel(
    rows: Sequence[Mapping[str, Any]],
    panel: Panel,
    *,
    last: bool,
    span: Span | None,
    marks: Sequence[Mark],
    named: bool,
) -> Any:
    words = [trace.word for trace in panel.traces]
    legend = alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2.5) if len(words) > 1 else None
    colour = alt.Color(
        "word:N",
        sort=words,
        scale=alt.Scale(domain=words, range=[trace.colour.light for trace in panel.traces]),
        legend=legend,
    )
    begin, end = span or (rows[0]["t"] if rows else 0, max(rows[-1]["t"] if rows else 1, 1))
    x = alt.X(
        "t:Q",
        title="seconds since the start" if last else None,
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=12),
        scale=alt.Scale(domain=[begin, end], nice=False, padding=4),
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
        known = [point["n"] is not None and point["n"] > least for point in points]
        if span is not None:
            for at, point in enumerate(points):
                point["piece"] = known[:at].count(False)
        chart = over([point for point, there in zip(points, known, strict=True) if there])
        if trace.look == "bars":
            width = max(min((WIDTH - 60) / max(len(rows), 1) * 0.7, 10), 1)
            mark = chart.transform_filter("datum.n > 0").mark_bar(width=width, aria=False)
        else:
            lone = alt.OverlayMarkDef(size=14, filled=True) if span is not None else alt.Undefined
            mark = chart.mark_line(
                strokeWidth=2 if trace.look == "line" else 1.5, strokeDash=_dash(trace), point=lone, aria=False
            )
        mark = mark.encode(x=x, y=y, color=colour)
        layers.append(mark if span is None or trace.look == "bars" else mark.encode(detail="piece:N"))
    layers += _marked([mark for mark in marks if begin <= mark.t <= end], x, named=named, span=(begin, end))
    title = alt.TitleParams(panel.title, offset=_ABOVE) if named and marks else alt.TitleParams(panel.title)
    return alt.layer(*layers).properties(width=WIDTH - 60, height=panel.height, title=title)


def _marked(marks: Sequence[Mark], x: Any, *, named: bool, span: Span) -> list[Any]:
    """A line a moment, and over the first panel its word, where the one before leaves room for it."""
    layers = []
    for colour in dict.fromkeys(mark.colour for mark in marks):
        rows = [{"t": mark.t} for mark in marks if mark.colour is colour]
        layers.append(over(rows).mark_rule(color=colour.light, strokeDash=[3, 3], aria=False).encode(x=x))
    if named:
        free, words = -math.inf, []
        for mark in sorted(marks, key=lambda one: one.t):
            middle = (mark.t - span[0]) / ((span[1] - span[0]) or 1) * (WIDTH - 60)
            half = len(mark.word) * _CHARACTER / 2
            if middle - half >= free:
                words.append({"t": mark.t, "text": mark.word})
                free = middle + half + 4
        layers.append(
            over(words)
            .mark_text(dy=-7, fontSize=11, color=palette.INK.light)
            .encode(x=x, y=alt.value(0), text="text:N")
        )
    return layers


def _dash(trace: Trace) -> list[float]:
    return [5, 4] if trace.look == "dashed" else [1, 0]
