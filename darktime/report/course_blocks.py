"""A run over time on a page: both sides' latency with ramps and incidents, and a replay's sending against its plan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import palette, panels, parts
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.panels import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup
    from darktime.report.panels import Panel

# Production's clock has whole milliseconds: less is drawn where it is at most.
_LESS_MS = 0.5
_MOST_GAP = 1_000  # rows: a series is never longer, whatever a file says
_MARKED = 40  # incidents and ramps each, in the chart; the tables have all


def over_a_split(results: Results) -> Markup | None:
    """Median and p99 of both sides over the run; None of results that have no series."""
    seen = results.get("timeline")
    if not seen or not seen["rows"]:
        return None
    title = "Latency over time, production and dark"
    text = (
        f"Median and p99 of the pairs that began in each {_interval(seen)}; an interval of few pairs has its slowest as p99. "
        "Production's clock has whole milliseconds: less than one is drawn as half. A vertical line is a ramp, with the "
        "percentage from then on, or an incident."
    )
    marks, incidents = moments(results)
    span = (0.0, max(float(results["duration_s"]), seen["rows"][-1]["t"] + seen["step_s"]))
    rows = _filled(seen, least=("production_p50_ms", "production_p99_ms", "dark_p50_ms", "dark_p99_ms"))
    shown = panels.worth_drawing(panels.COURSE, rows)
    described = (
        f"Over {fig.duration(span[1])}, p99 at most {_most(seen['rows'], 'production_p99_ms')} in production and "
        f"{_most(seen['rows'], 'dark_p99_ms')} on the dark side; {len(marks)} ramps and incidents."
    )
    drawn = (
        svg(
            lambda charts: charts.over_time(rows, shown, span=span, marks=marks),
            name="course",
            title=title,
            description=described,
        )
        if shown
        else None
    )
    table = parts.table(
        ("Second", "Production p50", "p99", "Dark p50", "p99", "Pairs"),
        [
            (
                f"{row['t']:g}",
                *(fig.ms(row[key]) for key in ("production_p50_ms", "production_p99_ms", "dark_p50_ms", "dark_p99_ms")),
                fig.count(row["pairs"]),
            )
            for row in seen["rows"]
        ],
        label=title,
        text=0,
    )
    return parts.figure(title, text, drawn, tag("div", *_incidents(incidents), table))


def moments(results: Results) -> tuple[list[Mark], list[tuple[str, str]]]:
    """The run's ramps and incidents as marks, and the incidents that have a mark with its word."""
    try:
        began = datetime.fromisoformat(str(results["started"])).timestamp()
    except ValueError:  # no time that anybody of ours wrote: nothing can be placed by it
        return [], []
    marks = [
        Mark(t=ramp["at"] - began, word=fig.percent(ramp["to"]), colour=palette.MUTED)
        for ramp in results.get("ramps", [])[-_MARKED:]
    ]
    named = []
    for number, one in enumerate(results.get("incidents", [])[:_MARKED], 1):
        word = f"incident {number}"
        named.append((word if one["at"] is not None else "at its end", one["what"]))
        if one["at"] is not None:
            marks.append(Mark(t=one["at"] - began, word=word, colour=palette.WRONG))
    return marks, named


def incidents(results: Results) -> Markup | None:
    """What died or went wrong, and when; None where nothing did."""
    found = results.get("incidents")
    if not found:
        return None
    rows = [
        (
            fig.NONE if one["at"] is None else datetime.fromtimestamp(one["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            one["what"],
        )
        for one in found
    ]
    return parts.table(("Seen at", "What"), rows, label="Incidents", text=2)


def sending(results: Results) -> Markup | None:
    """What a replay sent, against its plan; None of results that have no series."""
    seen = results.get("timeline")
    if not seen or not seen["rows"]:
        return None
    title = "Sending against the plan"
    text = (
        f"How many requests were due and how many were sent in each {_interval(seen)}, and how late: from planned to sent, "
        "with what waited for the answer to its user's last request, or for a connection."
    )
    rows = _filled(seen, zeros=("due", "sent"))
    drawn = _drawn(seen, rows, panels.SENDING, name="sending", title=title)
    columns = ("Second", "Planned", "Sent", "Without an answer", "Late, p50", "Late, p99")
    keys = ("due", "sent", "unanswered")
    table = [
        (
            f"{row['t']:g}",
            *(fig.count(row[key]) for key in keys),
            *(fig.ms(row[key]) for key in ("behind_p50_ms", "behind_p99_ms")),
        )
        for row in seen["rows"]
    ]
    return parts.figure(title, text, drawn, parts.table(columns, table, label=title, text=0))


def answering(results: Results) -> Markup | None:
    """The recorded and the replayed answers' times over a replay; None of results that have no series."""
    seen = results.get("timeline")
    keys = ("recorded_p50_ms", "recorded_p99_ms", "replayed_p50_ms", "replayed_p99_ms")
    if not seen or not any(row[key] is not None for row in seen["rows"] for key in keys):
        return None
    title = "Latency over time, recorded and replayed"
    text = (
        f"Of what was due in each {_interval(seen)}: production's own times as they were recorded, and the instance's from "
        "the planned time. Production's clock has whole milliseconds: less than one is drawn as half."
    )
    rows = _filled(seen, least=keys)
    drawn = _drawn(seen, rows, panels.ANSWERING, name="answering", title=title)
    columns = ("Second", "Recorded p50", "p99", "Replayed p50", "p99")
    table = [(f"{row['t']:g}", *(fig.ms(row[key]) for key in keys)) for row in seen["rows"]]
    return parts.figure(title, text, drawn, parts.table(columns, table, label=title, text=0))


def _drawn(
    seen: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], asked: Sequence[Panel], *, name: str, title: str
) -> Markup | None:
    shown = panels.worth_drawing(asked, rows)
    if not shown:
        return None
    span = (0.0, seen["rows"][-1]["t"] + seen["step_s"])
    described = "; ".join(
        f"{trace.word}: at most {_figure(rows, trace.key)}" for panel in shown for trace in panel.traces
    )
    return svg(lambda charts: charts.over_time(rows, shown, span=span), name=name, title=title, description=described)


def _filled(seen: Mapping[str, Any], *, least: Sequence[str] = (), zeros: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows with those between them in which there was nothing, so that no line leads over them; each in its middle."""
    step, rows = seen["step_s"], seen["rows"]
    by_place = {round(row["t"] / step): row for row in rows}
    places = range(min(by_place), min(max(by_place) + 1, min(by_place) + _MOST_GAP))
    empty = {**dict.fromkeys(key for key in rows[0] if key != "t"), **dict.fromkeys(zeros, 0)}
    filled = []
    for place in places:
        row = dict(by_place.get(place, empty))
        row["t"] = (place + 0.5) * step
        filled.append(row | {key: _LESS_MS for key in least if row[key] is not None and row[key] < _LESS_MS})
    return filled


def _incidents(named: Sequence[tuple[str, str]]) -> list[Markup]:
    return [parts.table(("Mark", "Incident"), named, label="Incidents that are marked", text=2)] if named else []


def _interval(seen: Mapping[str, Any]) -> str:
    step = seen["step_s"]
    return "second" if step == 1 else f"{step:g} seconds"


def _most(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return fig.ms(max((row[key] for row in rows if row[key] is not None), default=None))


def _figure(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return f"{max((row[key] for row in rows if row[key] is not None), default=0):,.4g}"
