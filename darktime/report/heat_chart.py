"""Latency over time as a heat map: how many answers took how long, second by second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, log_scale, log_ticks, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_COLUMNS = 120
MAX_ROWS = 32
_SHORT_FROM = 10_000
_PREFIXES = "kMGT"


def heat(seen: Mapping[str, Any]) -> Any:
    """Time across, latency upwards (log), shade how many. Cells of one shade that touch are drawn as one."""
    lows, highs, columns = gathered(seen)
    levels = _levels(max((count for _, _, counts in columns for count in counts), default=1))
    names = [_between(levels, at) for at in range(len(levels))]
    rows: list[dict[str, Any]] = []
    for at, (low, high) in enumerate(zip(lows, highs, strict=True)):
        last: dict[str, Any] | None = None
        for began, ended, counts in columns:
            if not counts[at]:
                last = None
                continue
            name = names[next(level for level, most in enumerate(levels) if counts[at] <= most)]
            if last is not None and last["n"] == name:
                last["to"] = ended
            else:
                last = {"from": began, "to": ended, "low": low, "high": high, "n": name}
                rows.append(last)
    ticks = log_ticks([*lows, *highs])
    end = max((ended for _, ended, _ in columns), default=1.0)
    x = alt.X(
        "from:Q",
        title="seconds since the start",
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=12),
        scale=alt.Scale(domain=[columns[0][0] if columns else 0, end], nice=False),
    )
    y = alt.Y("low:Q", title="milliseconds (log)", axis=alt.Axis(values=ticks, format=",~g"), scale=log_scale(ticks))
    return (
        over(rows)
        .mark_rect(aria=False)
        .encode(
            x=x,
            x2="to:Q",
            y=y,
            y2="high:Q",
            color=alt.Color(
                "n:N",
                sort=names,
                scale=alt.Scale(domain=names, range=[colour.light for colour in palette.HEAT[-len(names) :]]),
                legend=alt.Legend(title=None),
            ),
        )
        .properties(width=WIDTH - 60, height=260)
    )


def gathered(seen: Mapping[str, Any]) -> tuple[list[float], list[float], list[tuple[float, float, list[int]]]]:
    """Lower and upper ends of the bands in use, and per column its span in seconds and its counts, all bounded."""
    edges, seconds = [float(edge) for edge in seen["edges_ms"]], list(seen["seconds"])
    used = [at for at in range(len(edges)) if any(second["counts"][at] for second in seconds)]
    if not used:
        return [], [], []
    first, last = used[0], used[-1]
    tall = -(-(last - first + 1) // MAX_ROWS)
    bands = [range(at, min(at + tall, last + 1)) for at in range(first, last + 1, tall)]
    below = edges[0] ** 2 / edges[1] if len(edges) > 1 else edges[0] / 2
    lows = [edges[band.start - 1] if band.start else below for band in bands]
    highs = [edges[band.stop - 1] for band in bands]
    wide = -(-len(seconds) // MAX_COLUMNS)
    columns = []
    for at in range(0, len(seconds), wide):
        part = seconds[at : at + wide]
        counts = [sum(second["counts"][row] for second in part for row in band) for band in bands]
        columns.append((float(part[0]["t"]), float(part[-1]["t"]) + 1, counts))
    return lows, highs, columns


def _levels(most: int) -> list[int]:
    """The highest count of each shade: even steps of the count's logarithm."""
    shades = len(palette.HEAT)
    return sorted({max(math.floor(most ** ((at + 1) / shades) + 1e-9), 1) for at in range(shades)})


def _between(levels: Sequence[int], at: int) -> str:
    low = levels[at - 1] + 1 if at else 1
    return _short(low) if low == levels[at] else f"{_short(low)} to {_short(levels[at])}"


def _short(count: int) -> str:
    """A count as a legend has room for it: ``1,234``, ``12k``, ``370M``."""
    if count < _SHORT_FROM:
        return fig.count(count)
    power = min((len(str(count)) - 1) // 3, len(_PREFIXES))
    return f"{count / 1000**power:,.0f}{_PREFIXES[power - 1]}"
