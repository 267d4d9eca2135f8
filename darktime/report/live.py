"""The one screen that a blast shows while it runs: a snapshot of its figures as lines of text. Pure.

A snapshot holds what is known at the moment; what is missing or None is not shown:

``title`` (str), ``stage`` (str), ``elapsed_s``, ``budget_s``, ``planned_per_s``, ``achieved_per_s``, ``p50_ms``,
``p99_ms``, ``requests``, ``failures``, ``reason`` (the most frequent failure), ``streams``, ``streams_planned``,
``deliveries_per_s``, ``deliveries``, ``lost``, ``in_flight``, ``send_lag_p99_ms``, ``cpu_share``, ``workers``,
``workers_lost``, ``backlog_share``, ``errors_of_ours``,
and ``rates`` and ``p99s_ms``: one figure a second, the newest last, of which sixty are drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from darktime.report import figures as fig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEAST_COLUMNS = 40
HISTORY_S = 60
_LABEL = 10
_BARS = "▁▂▃▄▅▆▇█"
_NO_FIGURE = "·"
_PROGRESS_COLUMNS = 10
_ROOM_FOR_BAR = 72
_LOG_FROM = 10.0  # a span of more than ten times is drawn by its logarithm, else all but the peak is flat


def render(snapshot: Mapping[str, Any], width: int) -> list[str]:
    """The screen's lines, each of at most ``width`` columns (at least 40), without colour codes."""
    width = max(width, LEAST_COLUMNS)
    lines = [_head(snapshot, width), *_body(snapshot, width)]
    return [fig.clipped(line, width).rstrip() for line in lines if line]


def plain(snapshot: Mapping[str, Any]) -> str:
    """The same in one line, for logs: where the run is, what it reaches, and what went wrong."""
    first = [_known(snapshot, "elapsed_s", "{}", fig.duration), _text(snapshot, "stage")]
    found = [_rate(snapshot), _latency(snapshot), _errors(snapshot), *_streams(snapshot), *_generator(snapshot)]
    parts = ["  ".join(part for part in first if part), ", ".join(part for part in found if part)]
    return fig.visible(": ".join(part for part in parts if part) or "starting")


def sparkline(values: Sequence[float | None], columns: int) -> str:
    """The newest ``columns`` figures as bars; a dot where there was none."""
    shown = list(values)[-columns:]
    known = [value for value in shown if value is not None and math.isfinite(value)]
    if not known:
        return ""
    top, least = max(known), min((value for value in known if value > 0), default=0.0)
    steep = least > 0 and top / least > _LOG_FROM
    return "".join(_bar(value, least, top, steep=steep) for value in shown)


def _bar(value: float | None, least: float, top: float, *, steep: bool) -> str:
    if value is None or not math.isfinite(value):
        return _NO_FIGURE
    if value <= 0 or top <= 0:
        return _BARS[0]
    share = (math.log(value) - math.log(least)) / (math.log(top) - math.log(least)) if steep else value / top
    return _BARS[min(round(share * (len(_BARS) - 1)), len(_BARS) - 1)]


def _head(snapshot: Mapping[str, Any], width: int) -> str:
    """Title and stage on the left; on the right how much of the budget is spent, which is never cut."""
    elapsed, budget = snapshot.get("elapsed_s"), snapshot.get("budget_s")
    spent = "" if elapsed is None else fig.duration(elapsed)
    if elapsed is not None and budget:
        bar = f"{_progress(elapsed / budget)} " if width >= _ROOM_FOR_BAR else ""
        spent = f"{bar}{spent} of {fig.duration(budget)}"
    left = " · ".join(part for part in (_text(snapshot, "title"), _text(snapshot, "stage")) if part)
    left = fig.clipped(left, max(width - cell_len(spent) - 2, 1))
    return left + " " * max(width - cell_len(left) - cell_len(spent), 1) + spent


def _progress(share: float) -> str:
    full = round(min(max(share, 0.0), 1.0) * _PROGRESS_COLUMNS)
    return "━" * full + "─" * (_PROGRESS_COLUMNS - full)


def _body(snapshot: Mapping[str, Any], width: int) -> list[str]:
    columns = min(width - _LABEL, HISTORY_S)
    rows = [
        ("rate", [_rate(snapshot)]),
        ("", [sparkline(snapshot.get("rates") or (), columns)]),
        ("latency", [_latency(snapshot)]),
        ("", [sparkline(snapshot.get("p99s_ms") or (), columns)]),
        ("requests", [_requests(snapshot), _errors(snapshot)]),
        ("streams", _streams(snapshot)),
        ("generator", _generator(snapshot)),
    ]
    lines = []
    for label, parts in rows:
        lines += _folded(label, [part for part in parts if part], width)
    return lines


def _folded(label: str, parts: Sequence[str], width: int) -> list[str]:
    """Parts side by side, on a further line where they do not fit."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}   {part}" if lines else ""
        if lines and cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"{'' if lines else label:<{_LABEL}}{part}")
    return lines


def _text(snapshot: Mapping[str, Any], key: str) -> str:
    return fig.visible(snapshot.get(key) or "")


def _known(snapshot: Mapping[str, Any], key: str, word: str, write: Any = fig.count) -> str:
    value = snapshot.get(key)
    return "" if value is None else word.format(write(value))


def _rate(snapshot: Mapping[str, Any]) -> str:
    reached = _known(snapshot, "achieved_per_s", "{}/s")
    planned = _known(snapshot, "planned_per_s", "{}/s planned")
    return " of ".join(part for part in (reached, planned) if part)


def _latency(snapshot: Mapping[str, Any]) -> str:
    found = [_known(snapshot, f"{name}_ms", f"{name} {{}}", fig.ms) for name in ("p50", "p99")]
    return "  ".join(part for part in found if part)


def _requests(snapshot: Mapping[str, Any]) -> str:
    return _known(snapshot, "requests", "{}")


def _errors(snapshot: Mapping[str, Any]) -> str:
    failures, reason = snapshot.get("failures"), _text(snapshot, "reason")
    if failures is None:
        return ""
    mark = "✗ " if failures else ""
    return f"{mark}{fig.count(failures)} failed" + (f" ({fig.clipped(reason, 24)})" if failures and reason else "")


def _streams(snapshot: Mapping[str, Any]) -> list[str]:
    standing = _known(snapshot, "streams", "{} open")
    planned = _known(snapshot, "streams_planned", "of {}")
    lost = snapshot.get("lost")
    found = [
        f"{standing} {planned}".strip() if standing else "",
        _known(snapshot, "deliveries_per_s", "{} deliveries/s"),
        _known(snapshot, "deliveries", "{} delivered"),
        "" if lost is None else f"{'✗ ' if lost else ''}{fig.count(lost)} lost",
    ]
    return [part for part in found if part]


def _generator(snapshot: Mapping[str, Any]) -> list[str]:
    workers, lost, refused = (snapshot.get(key) for key in ("workers", "workers_lost", "errors_of_ours"))
    found = [
        _known(snapshot, "send_lag_p99_ms", "send lag p99 {}", fig.ms),
        _known(snapshot, "cpu_share", "cpu {}", fig.share),
        _known(snapshot, "backlog_share", "backlog {}", fig.share),
        _known(snapshot, "in_flight", "{} in flight"),
        f"✗ {fig.count(refused)} sockets refused here" if refused else "",
        f"✗ {fig.count(lost)} of {fig.count(workers)} workers lost" if lost else "",
    ]
    return [part for part in found if part]
