"""What the instance says of itself, as its Prometheus metrics: drawn over the run where they were followed, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import blast_tables as tables
from darktime.report import figures as fig
from darktime.report import palette, panels, parts
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.panels import Panel, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_MEGA = 1_000_000
_CHARACTERS = 70
# Of these the values are told in another unit: title, and what a value is divided by.
_KNOWN = {
    "process_resident_memory_bytes": ("memory, MB", _MEGA),
    "process_cpu_seconds_total": ("CPU, cores", 1),
    "process_open_fds": ("open files", 1),
}


def instance(results: Results) -> Markup | None:
    """The instance's own figures, or why there are none; None where nobody looked."""
    metrics = results.get("instance_metrics") or []
    ignored = results.get("instance_metrics_ignored")
    note = tag("p", f"{_GONE if metrics else _IGNORED}: {fig.visible(ignored)}.", class_="note") if ignored else None
    if not metrics:
        return note
    title = "The instance's own metrics"
    text = "As it tells them itself, asked once a second; of counters the growth per second is drawn."
    rows, asked = _drawn(metrics)
    shown = panels.worth_drawing(asked, rows)
    described = "; ".join(f"{panel.title}: at most {_highest(rows, panel.traces[0].key)}" for panel in shown)
    drawn = (
        svg(lambda charts: charts.over_time(rows, shown), name="instance", title=title, description=described)
        if shown and len(rows) > 1
        else None
    )
    data = tables.instance_metrics(metrics)
    return parts.figure(title, text, drawn, tag("div", data, note) if note else data)


_IGNORED = "Its metrics were ignored"
_GONE = "Its metrics were no more asked for"


def _drawn(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Panel]]:
    """A row a time with every metric's value there, and a panel each."""
    rows: dict[float, dict[str, Any]] = {}
    asked = []
    for at, metric in enumerate(metrics):
        counted = metric.get("kind") == "counter"
        plain = fig.clipped(metric["name"], _CHARACTERS) + (", per second" if counted else "")
        title, unit = _KNOWN.get(metric["name"], (plain, 1))
        key = f"m{at}"
        for t, value in metric.get("points") or []:
            rows.setdefault(t, {"t": t})[key] = value / unit
        look = palette.DARK if counted else palette.PRODUCTION
        asked.append(Panel(title=title, traces=(Trace(key=key, word=title, colour=look),), height=72))
    return [rows[t] for t in sorted(rows)], asked


def _highest(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return f"{max(row[key] for row in rows if row.get(key) is not None):,.6g}"
