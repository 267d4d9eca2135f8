"""The page of a relay that stood alone: what it took, where every copy went, how the dark side answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import figures as fig
from darktime.report import parts, way_blocks
from darktime.report.draw_block import sampled
from darktime.report.drawing import svg
from darktime.report.markup import tag
from darktime.report.stories import Story, section, when
from darktime.report.watched_blocks import gone_through, ramps
from darktime.report.way import MEANINGS

if TYPE_CHECKING:
    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

_CURVE = (("dark", "dark side"),)
_LEAST = 3  # points that make a curve


def tell(results: Results) -> Story:
    """A relay's run from what it took to its provenance."""
    copies = results["copies"]
    share = f"{fig.percent(results['percent'])} of users"
    latency = [block for block in (_spectrum(results), _latency(results)) if block is not None]
    instances = way_blocks.instances(results.get("instances", []))
    return Story(
        title=f"darktime relay {results['experiment']}, {when(results)}",
        kicker=" · ".join(
            ("darktime relay", results["experiment"], share, when(results), fig.duration(results["duration_s"]))
        ),
        headline=f"{fig.count(copies['received'])} copies, {fig.count(copies['answered'])} answered by the dark side",
        badge=parts.badge("left hanging", "bad") if results["exit_code"] else parts.badge("nothing compared", "wait"),
        lead=(f"It ended: {results['ended']}.",),
        sections=(
            section("In figures", _figures(results)),
            section(
                "Where every request went",
                way_blocks.way(results, what="requests"),
                *([instances] if instances is not None else []),
            ),
            section("What was compared", tag("p", results["note"], class_="lead")),
            section("How the dark side answered", *_statuses(results)),
            section("Latency of the dark side", *latency),
            *gone_through(results.get("transform")),
            section("What was left out, and why", _left_out(results)),
            *ramps(results),
            section("To run it again", _provenance(results)),
        ),
    )


def _figures(results: Results) -> Markup:
    copies, requests = results["copies"], results["requests"]
    left = sum(copies["reasons"].values())
    return parts.tiles(
        parts.tile("Users sampled", sampled(results["users"]), f"at {fig.percent(results['percent'])}"),
        parts.tile(
            "Copies", fig.count(copies["received"]), f"of {fig.count(requests['seen'])} requests that were mirrored"
        ),
        parts.tile("Answered", fig.count(copies["answered"]), f"{fig.count(left)} left with a reason"),
        parts.tile("p99 on the dark side", fig.ms(results["latency"]["p99_ms"]), "at most 5 % too high"),
    )


def _statuses(results: Results) -> list[Markup]:
    statuses = results["statuses"]
    table = parts.reasons_table(statuses, label="Statuses", name="Status")
    events = f"Its streams brought {fig.count(results['events'])} events."
    cut = results.get("streams_cut")
    told = f" {fig.count(cut)} streams it ended itself." if cut else ""
    none = tag("p", "Nothing was answered.", class_="note")
    return [table if statuses else none, tag("p", events + told, class_="note")]


def _spectrum(results: Results) -> Markup | None:
    curve = results.get("spectrum")
    if not curve or len(curve) < _LEAST:
        return None
    title = "Latency, percentile by percentile"
    text = "Of the dark side's answers to copies; of a stream, to its head. Counted in steps of 5 %."
    rows = [(f"{percent:g}", fig.ms(value)) for percent, value in curve]
    described = "; ".join(" ".join(row) for row in rows)
    drawn = svg(
        lambda charts: charts.spectrum({"dark": curve}, _CURVE), name="spectrum", title=title, description=described
    )
    return parts.figure(title, text, drawn, parts.table(("Percentile", "Dark side"), rows, label=title))


def _latency(results: Results) -> Markup:
    times = results["latency"]
    rows = [("dark side", *(fig.ms(times[f"p{share}_ms"]) for share in (50, 95, 99)))]
    return parts.table(("", "p50", "p95", "p99"), rows, label="Latency")


def _left_out(results: Results) -> Markup:
    requests, reasons = results["requests"], results["copies"]["reasons"]
    rows = [
        ("not sampled, or not to be copied", "", fig.count(requests["outside"])),
        ("copies themselves", "they carry X-Darktime", fig.count(requests["marked"])),
    ]
    rows += [(f"no answer: {one}", MEANINGS.get(one, ""), fig.count(times)) for one, times in reasons.items()]
    return parts.table(("What", "Which means", "Requests"), rows, label="Left out", text=2)


def _provenance(results: Results) -> Markup:
    return parts.facts(
        [
            ("Command", tag("code", results["command"])),
            ("Experiment", results["experiment"]),
            ("Listened on", results["listen"]),
            ("Dark", ", ".join(results["dark"])),
            ("Version", results["version"]),
            ("Started", results["started"]),
            ("Finished", results["finished"]),
            ("Exit code", str(results["exit_code"])),
        ]
    )
