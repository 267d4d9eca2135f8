"""The charts of a blast with the figures beneath each; a block of which nothing was measured is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import panels, parts
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.series import MAX_POINTS, highest, thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup
    from darktime.report.panels import Panel

_OUTCOMES = {
    "pass": ("held", "good"),
    "fail": ("did not hold", "bad"),
    "undecided": ("undecided", "wait"),
    "generator": ("generator-bound", "wait"),
}
_WRITTEN = {"cpu_share": fig.share, "backlog_share": fig.share}
_ALL = 100  # percent
_KILO = 1000
_CURVE = 2  # points, from which on a line says something


def rates(results: Results) -> Markup | None:
    """Throughput against latency, and every rate that was tried."""
    if not results["probes"]:
        return None
    points = [
        probe for probe in results["probes"] if probe["p99_ms"] and probe["p50_ms"] and probe["achieved_per_s"] > 0
    ]
    if len({probe["rate_per_s"] for probe in points}) < _CURVE:
        title = "What was offered"
        return parts.figure(title, "Latency runs from the planned time.", None, _probes(results["probes"]))
    title = "Throughput against latency"
    text = (
        "Each rate that was tried, joined from the lowest to the highest: what the instance answered a second, and the "
        "p50 and p99 of its latency from the planned time. The knee is where the lines turn upwards."
    )
    drawn = svg(lambda charts: charts.knee(results), name="knee", title=title, description=results["sentence"])
    return parts.figure(title, text, drawn, _probes(results["probes"]))


def _probes(probes: Sequence[Mapping[str, Any]]) -> Markup:
    columns: list[tuple[str, str, Any]] = [
        ("Stage", "stage", str),
        ("Why", "why", str),
        ("Planned/s", "rate_per_s", fig.count),
        ("Answered/s", "achieved_per_s", fig.count),
        ("In time/s", "goodput_per_s", fig.count),
        ("Deliveries/s", "deliveries_per_s", fig.count),
        *((name, key, fig.ms) for name, key in (("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms"))),
        ("p99.9", "p999_ms", fig.ms),
        ("max", "max_ms", fig.ms),
        ("Service p99", "service_p99_ms", fig.ms),
        ("In flight", "in_flight", fig.count),
        ("Errors", "errors", fig.count),
        ("Lost", "lost", fig.count),
        ("Send lag p99", "send_lag_p99_ms", fig.ms),
        ("CPU", "cpu_share", fig.share),
        ("Canary p99", "canary_p99_ms", fig.ms),
        ("Little's law off by", "little_error", _off),
    ]
    # Where it was not measured, that is said: what was measured must hold.
    told = {"little_error"} if any("little_error" in probe for probe in probes) else set()
    shown = [
        column for column in columns if column[1] in told or any(probe.get(column[1]) is not None for probe in probes)
    ]
    if len(probes) == 1:
        only = probes[0]
        known = [(name, write(only.get(key))) for name, key, write in shown]
        return tag("div", parts.facts([("Outcome", parts.badge(*_outcome(only))), *known], columns=2))
    words = sum(key in {"stage", "why"} for _, key, _ in shown)
    rows = [(parts.badge(*_outcome(probe)), *(write(probe.get(key)) for _, key, write in shown)) for probe in probes]
    return parts.table(("", *(name for name, _, _ in shown)), rows, label="Every rate that was tried", text=1 + words)


def _off(share: float | None) -> str:
    return "not measured" if share is None else fig.share(share)


def _outcome(probe: Mapping[str, Any]) -> tuple[str, str]:
    return _OUTCOMES.get(probe.get("outcome", ""), _OUTCOMES["pass" if probe["passed"] else "fail"])


def spectrum(results: Results) -> Markup | None:
    """Latency percentile by percentile."""
    seen = results.get("spectrum")
    if not seen or not any(seen[key] for key in ("latency", "service")):
        return None
    title = "Latency, percentile by percentile"
    text = (
        "From the planned time a request also waits for the instance to take it; from sending it does not. "
        "Where the two part, requests stood in a queue."
    )
    named = {key: dict(map(tuple, seen[key])) for key in ("latency", "service")}
    percents = sorted({*named["latency"], *named["service"]})
    rows = [
        (
            f"{percent:g}" if percent < _ALL else "max",
            *(fig.ms(named[key].get(percent)) for key in ("latency", "service")),
        )
        for percent in percents
    ]
    described = "; ".join(" ".join(row) for row in rows)
    enough = any(len([1 for percent in named[key] if percent < _ALL]) >= _CURVE for key in named)
    drawn = (
        svg(lambda charts: charts.spectrum(seen), name="spectrum", title=title, description=described)
        if enough
        else None
    )
    data = parts.table(("Percentile", "From the planned time", "From sending"), rows, label=title)
    return parts.figure(title, text, drawn, data)


def latency_over_time(results: Results) -> Markup | None:
    """A heat map where the counts were kept, else p50 and p99."""
    heat, series = results.get("heat"), results.get("series") or []
    if not heat or not any(any(second["counts"]) for second in heat["seconds"]):
        return _over_time(
            series,
            panels.LATENCY,
            name="latency",
            title="Latency over time",
            text="p50 (dashed) and p99 of every second, from the planned time.",
        )
    title = "Latency over time"
    text = "How many answers took how long, second by second, from the planned time. A shade is a number of answers."
    total = sum(sum(second["counts"]) for second in heat["seconds"])
    described = f"{total:,} answers over {len(heat['seconds'])} seconds."
    drawn = svg(lambda charts: charts.heat(heat), name="heat", title=title, description=described)
    data = _rows(series, (("p50_ms", "p50"), ("p99_ms", "p99")), title)
    return parts.figure(title, text, drawn, data)


def traffic(results: Results) -> Markup | None:
    """Requests and deliveries, and what failed and was lost of them."""
    return _over_time(
        results.get("series") or [],
        panels.TRAFFIC,
        name="traffic",
        title="Requests and deliveries over time",
        text="What was planned, what ended in each second, and of it what failed or was lost.",
    )


def in_the_air(results: Results) -> Markup | None:
    """Streams open and requests in flight."""
    return _over_time(
        results.get("series") or [],
        panels.STREAMS,
        name="streams",
        title="Open at the same time",
        text="Streams that stood, and requests that waited for their answer, in each second.",
    )


def generator(results: Results) -> Markup | None:
    """What shows whether the generator could keep its plan."""
    return _over_time(
        results.get("series") or [],
        panels.GENERATOR,
        name="generator",
        title="The generator's health",
        text="Late sends, a loop that stands still, a full core, sockets that this machine refused, and reads that leave "
        "more waiting in the kernel are the generator's own limit. The canary is an "
        "independent prober with few requests: where it is slow too, the instance is.",
    )


def _over_time(
    series: Sequence[Mapping[str, Any]], asked: Sequence[Panel], *, name: str, title: str, text: str
) -> Markup | None:
    shown = panels.worth_drawing(asked, series)
    if not shown:
        return None
    named = tuple((trace.key, _column(panel, trace.word)) for panel in shown for trace in panel.traces)
    described = "; ".join(f"highest {word}: {_WRITTEN.get(key, _figure)(highest(series, key))}" for key, word in named)
    drawn = (
        svg(lambda charts: charts.over_time(series, shown), name=name, title=title, description=described)
        if len(series) > 1
        else None
    )
    return parts.figure(title, text, drawn, _rows(series, named, title))


def _column(panel: Panel, word: str) -> str:
    return word.partition(" (")[0] if len(panel.traces) > 1 else panel.title


def _rows(series: Sequence[Mapping[str, Any]], named: Sequence[tuple[str, str]], label: str) -> Markup:
    rows = thinned(series, [key for key, _ in named])
    body = [(f"{row['t']:g}", *(_WRITTEN.get(key, _figure)(row[key]) for key, _ in named)) for row in rows]
    data = parts.table(("Second", *(word for _, word in named)), body, label=label, text=0)
    if len(series) <= MAX_POINTS:
        return data
    note = f"{len(series):,} seconds in {len(rows)} rows, each with its highest figures; all are in results.json."
    return tag("div", data, tag("p", note, class_="note"))


def _figure(value: float | None) -> str:
    if value is None:
        return fig.NONE
    return fig.count(value) if float(value).is_integer() or value >= _KILO else f"{value:,.2f}"
