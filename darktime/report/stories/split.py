"""The page of a split: GO, NO-GO or WAIT for the dark code, with the ids that went missing and what both sides took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import blocks, course_blocks, field_blocks, parts, way_blocks
from darktime.report import figures as fig
from darktime.report.coverage_block import coverage
from darktime.report.draw_block import draw, sampled
from darktime.report.markup import tag
from darktime.report.stories import Story, copies_tile, section, when
from darktime.report.watched_blocks import gone_through, ramps, watched
from darktime.report.way import way_of

if TYPE_CHECKING:
    from darktime.report.kinds import Results
    from darktime.report.markup import Markup


def tell(results: Results) -> Story:
    """A split from its verdict to its provenance."""
    verdict, users, copies, seen = (results[key] for key in ("verdict", "users", "copies", "latency"))
    outcome = verdict["outcome"]
    end = {
        "GO": "the dark code may take real users",
        "NO-GO": "the dark code may not take real users",
        "WAIT": "not enough was seen to say",
    }
    figures = parts.tiles(
        parts.tile(
            "Users sampled",
            sampled(users),
            (f"of {fig.count(users['seen'])} " if users["seen"] is not None else "")
            + f"at {fig.percent(results['percent'])}",
        ),
        copies_tile(copies),
        parts.tile(
            "p99 in production", fig.ms(seen["production"]["p99_ms"]), f"{fig.count(seen['production']['pairs'])} pairs"
        ),
        parts.tile("p99 on the dark side", fig.ms(seen["dark"]["p99_ms"]), f"{fig.count(seen['dark']['pairs'])} pairs"),
    )
    provenance = parts.facts(
        [
            ("Command", tag("code", results["command"])),
            ("Experiment", results["experiment"]),
            ("Production", results["production"]),
            ("Dark", results["dark"]),
            ("Version", results["version"]),
            ("Started", results["started"]),
            ("Finished", results["finished"]),
            *([("Ended", results["cut_short"])] if "cut_short" in results else []),
            ("Exit code", str(results["exit_code"])),
        ]
    )
    ledger = blocks.ledger(results["ledger"], name="ledger", title="Ledger")
    covered, incidents = coverage(results), course_blocks.incidents(results)
    content = field_blocks.content(results)
    share = f"{fig.percent(results['percent'])} of users"
    return Story(
        title=f"darktime split {results['experiment']}, {when(results)}",
        kicker=" · ".join(
            ("darktime split", results["experiment"], share, when(results), fig.duration(results["duration_s"]))
        ),
        headline=f"{outcome}: {end.get(outcome, 'no verdict')}",
        badge=parts.badge(outcome, parts.tone(outcome)),
        lead=(),
        sections=(
            section("Verdict", parts.verdict_card(results["dark"], verdict, results["ledger"])),
            section("In figures", figures),
            *draw(results),
            section("Every message accounted for", *_accounted(results), ledger),
            section("Production and dark compared", *_latency(results)),
            *([section("How much was compared", covered)] if covered is not None else []),
            *([section("Answers compared field by field", *content)] if content else []),
            *gone_through(results.get("transform")),
            *watched(results),
            *([section("Incidents", incidents)] if incidents is not None else []),
            *ramps(results),
            section("To run it again", provenance),
        ),
    )


def _accounted(results: Results) -> list[Markup]:
    instances = way_blocks.instances(way_of(results)["instances"])
    return [way_blocks.way(results), *way_blocks.notes(results), *([instances] if instances is not None else [])]


def _latency(results: Results) -> list[Markup]:
    spread = blocks.latency([(results["experiment"], results["latency"])], name="latency")
    course = course_blocks.over_a_split(results)
    return [spread] if course is None else [course, spread]
