"""Which columns of a run's series are drawn together, in which words and colours. Pure, and without the drawing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from darktime.report import palette
from darktime.report.series import measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.palette import Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One column of the series as it is drawn: ``look`` is "line", "dashed" or "bars"."""

    key: str
    word: str
    colour: Colour
    look: str = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Traces on one scale. A panel of one trace needs no legend: its title names it."""

    title: str
    traces: tuple[Trace, ...]
    height: int = 120
    format: str = ",~r"
    log: bool = False


Span = tuple[float, float]
"""From where to where a chart's seconds go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment of a run, ``t`` seconds after its start, and the word that names it."""

    t: float
    word: str
    colour: Colour


def worth_drawing(panels: Sequence[Panel], series: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    """The panels without traces that hold nothing, and without those that then hold none."""
    left = [
        replace(panel, traces=tuple(trace for trace in panel.traces if measured(series, trace.key))) for panel in panels
    ]
    return tuple(panel for panel in left if any(trace.look != "dashed" for trace in panel.traces))


TRAFFIC = (
    Panel(
        title="requests per second",
        traces=(
            Trace(key="planned", word="planned (dashed)", colour=palette.SENT, look="dashed"),
            Trace(key="requests", word="ended", colour=palette.PRODUCTION),
            Trace(key="failures", word="failed (bars)", colour=palette.WRONG, look="bars"),
        ),
        height=150,
    ),
    Panel(title="deliveries per second", traces=(Trace(key="deliveries", word="delivered", colour=palette.RECEIVED),)),
    Panel(
        title="deliveries lost per second",
        traces=(Trace(key="lost", word="lost", colour=palette.WRONG, look="bars"),),
        height=60,
    ),
)
LATENCY = (
    Panel(
        title="milliseconds (log)",
        traces=(
            Trace(key="p50_ms", word="p50 (dashed)", colour=palette.PRODUCTION, look="dashed"),
            Trace(key="p99_ms", word="p99", colour=palette.DARK),
        ),
        height=200,
        log=True,
    ),
)
STREAMS = (
    Panel(title="streams open", traces=(Trace(key="streams", word="streams", colour=palette.PRODUCTION),)),
    Panel(
        title="requests in flight",
        traces=(Trace(key="in_flight", word="in flight", colour=palette.RECEIVED),),
        height=90,
    ),
)
GENERATOR = (
    Panel(
        title="send lag p99, ms",
        traces=(Trace(key="send_lag_p99_ms", word="lag", colour=palette.PRODUCTION),),
        height=72,
    ),
    Panel(title="loop lag, ms", traces=(Trace(key="loop_lag_ms", word="lag", colour=palette.PRODUCTION),), height=72),
    Panel(
        title="CPU, share of one core",
        traces=(Trace(key="cpu_share", word="cpu", colour=palette.DARK),),
        height=72,
        format=".0%",
    ),
    Panel(
        title="receive backlog, share of reads",
        traces=(Trace(key="backlog_share", word="backlog", colour=palette.DARK),),
        height=72,
        format=".0%",
    ),
    Panel(
        title="sockets refused here",
        traces=(Trace(key="errors_of_ours", word="refused", colour=palette.WRONG, look="bars"),),
        height=60,
    ),
    Panel(title="canary, ms", traces=(Trace(key="canary_ms", word="canary", colour=palette.RECEIVED),), height=72),
)
COURSE = (
    Panel(
        title="milliseconds (log)",
        traces=(
            Trace(key="production_p99_ms", word="production p99", colour=palette.PRODUCTION),
            Trace(key="dark_p99_ms", word="dark p99", colour=palette.DARK),
            Trace(key="production_p50_ms", word="production p50 (dashed)", colour=palette.PRODUCTION, look="dashed"),
            Trace(key="dark_p50_ms", word="dark p50 (dashed)", colour=palette.DARK, look="dashed"),
        ),
        height=230,
        log=True,
    ),
    Panel(
        title="pairs an interval",
        traces=(Trace(key="pairs", word="pairs", colour=palette.SENT, look="bars"),),
        height=60,
    ),
)
SENDING = (
    Panel(
        title="requests an interval",
        traces=(
            Trace(key="due", word="planned (dashed)", colour=palette.SENT, look="dashed"),
            Trace(key="sent", word="sent", colour=palette.PRODUCTION),
            Trace(key="unanswered", word="without an answer (bars)", colour=palette.WRONG, look="bars"),
        ),
        height=120,
    ),
    Panel(
        title="from planned to sent, ms",
        traces=(
            Trace(key="behind_p50_ms", word="p50 (dashed)", colour=palette.PRODUCTION, look="dashed"),
            Trace(key="behind_p99_ms", word="p99", colour=palette.DARK),
        ),
        height=90,
    ),
)
ANSWERING = (
    Panel(
        title="milliseconds (log)",
        traces=(
            Trace(key="recorded_p99_ms", word="recorded p99", colour=palette.PRODUCTION),
            Trace(key="replayed_p99_ms", word="replayed p99", colour=palette.DARK),
            Trace(key="recorded_p50_ms", word="recorded p50 (dashed)", colour=palette.PRODUCTION, look="dashed"),
            Trace(key="replayed_p50_ms", word="replayed p50 (dashed)", colour=palette.DARK, look="dashed"),
        ),
        height=200,
        log=True,
    ),
)
