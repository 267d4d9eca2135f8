"""The page of a recording: whole or not, what is in the file, where every copy went, and whether production was harmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import blocks, course_blocks, parts, way_blocks
from darktime.report import figures as fig
from darktime.report.markup import tag
from darktime.report.stories import Story, section, when
from darktime.report.watched_blocks import ramps, watched
from darktime.report.way import MEANINGS

if TYPE_CHECKING:
    from darktime.report.kinds import Results
    from darktime.report.markup import Markup


def tell(results: Results) -> Story:
    """A recording from its outcome to its provenance."""
    whole = results["outcome"] == "whole"
    share = f"{fig.percent(results['percent'])} of users"
    incidents = course_blocks.incidents(results)
    compared = tag(
        "p",
        "Nothing was compared: a recording has no dark instance. 'darktime replay' sends it to one, and holds its answers "
        "against production's.",
        class_="lead",
    )
    return Story(
        title=f"darktime record {results['experiment']}, {when(results)}",
        kicker=" · ".join(
            ("darktime record", results["experiment"], share, when(results), fig.duration(results["duration_s"]))
        ),
        headline="Everything that was sampled is in the file" if whole else "A part of what was sampled is in the file",
        badge=parts.badge("whole" if whole else "partial", "good" if whole else "bad"),
        lead=tuple(results["reasons"]),
        sections=(
            section("In figures", _figures(results)),
            section(
                "Where every copy went",
                way_blocks.way(results),
                *way_blocks.notes(results),
                blocks.ledger(results["ledger"], name="ledger", title="Ledger"),
            ),
            section("What was left out, and why", _left_out(results)),
            section("What was compared", compared),
            *watched(results),
            *([section("Incidents", incidents)] if incidents is not None else []),
            *ramps(results),
            section("To run it again", _provenance(results)),
        ),
    )


def _figures(results: Results) -> Markup:
    recording, copies = results["recording"], results["copies"]
    stopped = recording["stopped"]
    return parts.tiles(
        parts.tile("Requests in the file", fig.count(recording["requests"]), fig.size(recording["bytes"])),
        parts.tile(
            "With production's answer",
            fig.count(recording["answers"]),
            "a replay can compare these",
        ),
        parts.tile(
            "Copies sampled",
            fig.count(copies["offered"]),
            f"{fig.count(copies['received'])} came, {fig.count(copies['open'])} not ended yet",
        ),
        parts.tile("Ended early", "yes" if stopped else "no", stopped or "it went on to the end of the run"),
    )


def _left_out(results: Results) -> Markup:
    recording, copies = results["recording"], results["copies"]
    rows = [
        ("after it had ended, or not to be written", "", fig.count(recording["left_out"])),
        ("headers of requests that are in it", "", fig.count(recording["headers_left_out"])),
    ]
    rows += [(f"never came: {one}", MEANINGS.get(one, ""), fig.count(n)) for one, n in copies["never_came"].items()]
    rows += [(f"not recorded: {one}", MEANINGS.get(one, ""), fig.count(n)) for one, n in copies["reasons"].items()]
    return parts.table(("What", "Which means", "Times"), rows, label="Left out", text=2)


def _provenance(results: Results) -> Markup:
    return parts.facts(
        [
            ("File", tag("code", results["recording"]["file"])),
            ("Experiment", results["experiment"]),
            ("Key", results["key"]),
            ("Production", results["production"]),
            ("Replay", tag("code", f"darktime replay {results['recording']['file']} --instance HOST:PORT")),
            ("Version", results["version"]),
            ("Started", results["started"]),
            ("Finished", results["finished"]),
            ("Exit code", str(results["exit_code"])),
        ]
    )
