"""What the report draws, as Altair charts. Needs the extra ``report``: the page imports it only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, over
from darktime.report.coverage_chart import coverage
from darktime.report.fields_chart import fields
from darktime.report.heat_chart import heat
from darktime.report.interval_chart import intervals
from darktime.report.ledger_chart import ledger
from darktime.report.rates_chart import knee, probes
from darktime.report.series import thinned
from darktime.report.spectrum_chart import spectrum
from darktime.report.time_charts import over_time
from darktime.report.way_chart import instances, way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "coverage",
    "deliveries",
    "fields",
    "heat",
    "instances",
    "intervals",
    "knee",
    "latency",
    "ledger",
    "over_time",
    "probes",
    "spectrum",
    "way",
]

_SIDES = ("production", "dark")
_SIDE_COLOURS = alt.Scale(domain=list(_SIDES), range=[palette.PRODUCTION.light, palette.DARK.light])


def deliveries(series: Sequence[Mapping[str, Any]]) -> Any:
    """Deliveries a second, production above dark; each on its own scale, the dark side having few of the users."""
    rows = [{"t": row["t"], "side": side, "n": row[side]} for row in thinned(series, _SIDES) for side in _SIDES]
    base = over(rows).encode(
        color=alt.Color("side:N", scale=_SIDE_COLOURS, legend=None),
    )
    panels = []
    for side in _SIDES:
        title = "seconds since the start" if side == _SIDES[-1] else None
        x = alt.X(
            "t:Q", title=title, axis=alt.Axis(grid=False, tickMinStep=1, tickCount=12), scale=alt.Scale(nice=False)
        )
        y = alt.Y("n:Q", title=f"{side} per second", axis=alt.Axis(tickCount=4, format=",d", tickMinStep=1))
        area = base.mark_area(opacity=0.16, line=False, interpolate="monotone").encode(x=x, y=y)
        line = base.mark_line(strokeWidth=2, interpolate="monotone").encode(x=x, y=y)
        panels.append(
            alt.layer(area, line).transform_filter(alt.datum.side == side).properties(width=WIDTH - 60, height=135)
        )
    return alt.vconcat(*panels, spacing=22).resolve_scale(x="shared")


def latency(phases: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """p50, p95 and p99 of production beside dark, one panel a phase on one scale."""
    rows = [
        {
            "phase": fig.visible(name),
            "side": side,
            "p": p,
            "ms": seen[side][f"{p}_ms"],
            "text": fig.ms(seen[side][f"{p}_ms"]).removesuffix(" ms"),
        }
        for name, seen in phases
        for side in _SIDES
        for p in ("p50", "p95", "p99")
        if seen[side][f"{p}_ms"] is not None
    ]
    top = max((row["ms"] for row in rows), default=1.0) or 1.0
    base = over(rows).encode(
        x=alt.X(
            "p:N",
            title=None,
            axis=alt.Axis(labelFontSize=13, labelPadding=8, labelAngle=0),
            scale=alt.Scale(paddingInner=0.3),
        ),
        xOffset=alt.XOffset("side:N", sort=list(_SIDES), scale=alt.Scale(paddingInner=0.12)),
        y=alt.Y(
            "ms:Q",
            title="milliseconds",
            axis=alt.Axis(tickCount=4),
            scale=alt.Scale(domain=[0, top * 1.12], nice=False),
        ),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color("side:N", sort=list(_SIDES), scale=_SIDE_COLOURS, legend=alt.Legend(title=None))
    )
    texts = base.mark_text(dy=-7, fontSize=11, color=palette.INK.light).encode(text="text:N")
    names = [fig.visible(name) for name, _ in phases]
    width = (WIDTH - 60 - 40 * (len(names) - 1)) // max(len(names), 1)
    panels = alt.layer(bars, texts).properties(width=min(width, 520), height=210)
    header = alt.Header(
        title=None, labelFontSize=13, labelFontWeight="bold", labelPadding=12, labelColor=palette.INK.light
    )
    return panels.facet(column=alt.Column("phase:N", sort=names, header=header), spacing=40)
