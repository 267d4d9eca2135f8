"""What an instance did at each rate that was tried: p99 over the planned rate, and latency over what it answered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, log_scale, log_ticks, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EDGE = 0.25
_OUTCOMES = {"pass": "held", "fail": "did not hold", "undecided": "undecided", "generator": "generator-bound"}
_LOOKS = (
    (palette.RECEIVED, "circle"),
    (palette.WRONG, "triangle-up"),
    (palette.SENT, "square"),
    (palette.EXPLAINED, "diamond"),
)
_SI_FROM = 100_000
_NOT_TRIED = frozenset({"calibrate", "recover"})  # of the generator itself, and of a rate that was tried before


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


def on_the_curve(blast: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The probes that show what the instance does at a rate, lowest rate first."""
    tried = [probe for probe in blast["probes"] if probe.get("stage") not in _NOT_TRIED]
    shown = [probe for probe in tried if probe["p99_ms"] and probe["p50_ms"] and probe["achieved_per_s"] > 0]
    return sorted(shown, key=lambda probe: float(probe["rate_per_s"]))


def outcome(probe: Mapping[str, Any]) -> str:
    """How a probe went, in words."""
    return _OUTCOMES.get(probe.get("outcome", ""), "held" if probe["passed"] else "did not hold")


def knee(blast: Mapping[str, Any]) -> Any:
    """Answers a second against p50 and p99, joined from the lowest planned rate to the highest.

    Past the knee the line climbs, and where the instance answers less the harder it is driven, it turns back.
    """
    capacity = {key: None if blast["limit"] == "generator" else value for key, value in blast["capacity"].items()}
    rows = [
        {"x": probe["achieved_per_s"], "rate": at, "ms": probe[f"{name}_ms"], "p": name, "outcome": outcome(probe)}
        for at, probe in enumerate(on_the_curve(blast))
        for name in ("p50", "p99")
    ]
    ends = [capacity[key] for key in ("highest_pass_per_s", "lowest_fail_per_s") if capacity[key] is not None]
    top = max([row["x"] for row in rows] + ends, default=1.0) * 1.06
    limit = fig.slo_p99_ms(blast["slo"])
    ticks = log_ticks([*(row["ms"] for row in rows), *([limit, limit * 1.5] if limit else [])])
    x = alt.X(
        "x:Q",
        title="answered per second",
        axis=alt.Axis(grid=False, format="~s" if top >= _SI_FROM else ",d", tickCount=8),
        scale=alt.Scale(domain=[0, top], nice=False),
    )
    y = alt.Y("ms:Q", title="milliseconds (log)", axis=alt.Axis(values=ticks, format=",~g"), scale=log_scale(ticks))
    names = ["p50", "p99"]
    base = over(rows).encode(x=x, y=y)
    of_lines = alt.Legend(title=None, offset=30, symbolType="stroke", symbolStrokeWidth=2.5)
    lines = base.mark_line(strokeWidth=1.8).encode(
        color=alt.Color(
            "p:N",
            scale=alt.Scale(domain=names, range=[palette.PRODUCTION.light, palette.DARK.light]),
            legend=of_lines,
        ),
        strokeDash=alt.StrokeDash("p:N", scale=alt.Scale(domain=names, range=[[6, 4], [1, 0]]), legend=of_lines),
        order="rate:Q",
    )
    kinds = [word for word in _OUTCOMES.values() if any(row["outcome"] == word for row in rows)]
    looks = {word: look for word, look in zip(_OUTCOMES.values(), _LOOKS, strict=True) if word in kinds}
    of_points = alt.Legend(title=None, offset=30)
    points = base.mark_point(size=80, filled=True, opacity=1).encode(
        color=alt.Color(
            "outcome:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=[colour.light for colour, _ in looks.values()]),
            legend=of_points,
        ),
        shape=alt.Shape(
            "outcome:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=[shape for _, shape in looks.values()]),
            legend=of_points,
        ),
    )
    marks = alt.layer(lines, points).resolve_scale(color="independent", shape="independent", strokeDash="independent")
    return alt.layer(*_band(capacity, top), *_limit(limit, top), marks).properties(width=WIDTH - 60, height=300)


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
