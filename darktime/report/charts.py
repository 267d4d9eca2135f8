"""What the report draws, as Altair charts. Needs the extra ``report``: the page imports it only where there is one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, over
from darktime.report.ledger_chart import ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_POINTS = 600
_EDGE = 0.25
__all__ = ["deliveries", "latency", "ledger", "probes", "thinned"]

_SIDES = ("production", "dark")
_SIDE_COLOURS = alt.Scale(domain=list(_SIDES), range=[palette.PRODUCTION.light, palette.DARK.light])


def deliveries(series: Sequence[Mapping[str, Any]]) -> Any:
    """Deliveries a second, production above dark; each on its own scale, the dark side having few of the users."""
    rows = [{"t": row["t"], "side": side, "n": row[side]} for row in thinned(series) for side in _SIDES]
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


def probes(blast: Mapping[str, Any]) -> Any:
    """Each rate that was tried against its p99; the shaded band holds the capacity."""
    rows = [
        {"rate": probe["rate_per_s"], "p99": probe["p99_ms"], "held": "held" if probe["passed"] else "did not hold"}
        for probe in blast["probes"]
        if probe["p99_ms"] and probe["rate_per_s"] > 0
    ]
    top = max((row["rate"] for row in rows), default=1.0) * 1.06
    x = alt.X(
        "rate:Q",
        title="planned rate, per second",
        axis=alt.Axis(grid=False, format=",d", tickCount=8),
        scale=alt.Scale(domain=[0, top], nice=False),
    )
    limit = fig.slo_p99_ms(blast["slo"])
    # Half again above the limit, so that its words never meet those of the band.
    decades = _decades([*(row["p99"] for row in rows), *([limit, limit * 1.5] if limit else [])])
    y = alt.Y(
        "p99:Q",
        title="p99, milliseconds (log)",
        axis=alt.Axis(values=decades, format=",~g"),
        scale=alt.Scale(type="log", domain=[decades[0], decades[-1]], nice=False, clamp=True),
    )
    base = over(rows).encode(x=x, y=y)
    line = base.mark_line(strokeWidth=1.5, color=palette.SENT.light)
    kinds = ["held", "did not hold"]
    points = base.mark_point(size=110, filled=True, opacity=1).encode(
        color=alt.Color(
            "held:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=[palette.RECEIVED.light, palette.WRONG.light]),
            legend=alt.Legend(title=None, offset=30),
        ),
        shape=alt.Shape(
            "held:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=["circle", "triangle-up"]),
            legend=alt.Legend(title=None, offset=30),
        ),
    )
    layers: list[Any] = [
        *_band(blast["capacity"], top),
        *_limit(limit, top),
        line,
        points,
    ]
    return alt.layer(*layers).properties(width=WIDTH - 60, height=270)


def thinned(series: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """At most 600 points; of each bucket the highest counts stay, so that no peak is smoothed away."""
    step = -(-len(series) // MAX_POINTS) or 1
    buckets = [series[at : at + step] for at in range(0, len(series), step)]
    return [{"t": bucket[0]["t"], **{side: max(row[side] for row in bucket) for side in _SIDES}} for bucket in buckets]


def _decades(figures: Sequence[float]) -> list[float]:
    """The powers of ten around the figures: a log axis whose every line is one the reader can name."""
    low = math.floor(math.log10(min(figures, default=1.0)))
    high = math.ceil(math.log10(max(figures, default=1.0)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _band(capacity: Mapping[str, Any], top: float) -> list[alt.Chart]:
    low, high = capacity["highest_pass_per_s"], capacity["lowest_fail_per_s"]
    if low is None:
        return []
    high = min(top if high is None else high, top)
    words = f"holds {fig.count(low)}/s"
    if capacity["lowest_fail_per_s"] is not None:
        words += f", fails at {fig.count(capacity['lowest_fail_per_s'])}/s"
    # The words stand above the band, and reach into the picture where the band is near its edge.
    at, align = (
        (low, "left")
        if low < top * _EDGE
        else (high, "right")
        if high > top * (1 - _EDGE)
        else ((low + high) / 2, "center")
    )
    band = [{"low": low, "high": high, "at": at, "text": words}]
    style: dict[str, Any] = {"align": align, "baseline": "bottom", "fontSize": 12, "color": palette.INK.light}
    return [
        over(band).mark_rect(color=palette.BAND.light, opacity=1).encode(x="low:Q", x2="high:Q"),
        over(band).mark_text(**style).encode(x="at:Q", y=alt.value(-6), text="text:N"),
    ]


def _limit(p99_ms: float | None, top: float) -> list[alt.Chart]:
    if not p99_ms:
        return []
    row = [{"p99": p99_ms, "rate": top, "text": f"objective: p99 < {fig.ms(p99_ms)}"}]
    return [
        over(row).mark_rule(strokeDash=[5, 4], color=palette.WRONG.light).encode(y="p99:Q"),
        over(row)
        .mark_text(align="left", dx=4, dy=-8, fontSize=12, color=palette.WRONG.light)
        .encode(x=alt.value(0), y="p99:Q", text="text:N"),
    ]
