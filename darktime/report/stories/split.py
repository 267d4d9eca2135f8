"""The page of a split: GO, NO-GO or WAIT for the dark code, with the ids that went missing and what both sides took."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from darktime.report import blocks, field_blocks, parts
from darktime.report import figures as fig
from darktime.report.markup import tag
from darktime.report.stories import Story, copies_tile, section, when

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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
            fig.count(users["sampled"]),
            f"of {fig.count(users['seen'])} at {fig.percent(results['percent'])}",
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
            ("Exit code", str(results["exit_code"])),
        ]
    )
    ledger = blocks.ledger(results["ledger"], name="ledger", title="Ledger")
    latency = blocks.latency([(results["experiment"], seen)], name="latency")
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
            section("Every message accounted for", ledger),
            section("Production and dark compared", latency, blocks.copies(copies)),
            *([section("Answers compared field by field", *content)] if content else []),
            *_transform(results.get("transform")),
            *_watched(results),
            section("To run it again", provenance),
        ),
    )


def _transform(told: Mapping[str, Any] | None) -> list[Markup]:
    """What a function of the user's did with the copies, how long the relay waited for it, and its first error."""
    if not told:
        return []
    facts = parts.facts(
        [
            ("Function", tag("code", told["function"])),
            *((what.capitalize(), fig.count(told[what])) for what in ("called", "rewritten", "dropped", "failed")),
            ("p99", fig.ms(told["p99_ms"])),
            ("At most", fig.ms(told["max_ms"])),
            ("Beyond 10 ms", fig.count(told["slow"])),
            (
                "First error",
                tag("code", told["first_error"].strip().rpartition("\n")[2]) if told["first_error"] else "none",
            ),
        ]
    )
    return [section("What copies went through", facts)]


def _watched(results: Results) -> list[Markup]:
    """How production served the copied and the control group, and who ramped when."""
    found = []
    watched, ramps = results.get("production_watched"), results.get("ramps")
    if watched:
        lines = [tag("p", watched["sentence"], class_="lead")]
        if watched["groups"]:
            lines.append(_groups(watched["groups"]))
        found.append(section("What mirroring did to production", *lines))
    if ramps:
        rows = [
            (
                datetime.fromtimestamp(ramp["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
                ramp["who"],
                ramp["why"],
                fig.percent(ramp["from"]),
                fig.percent(ramp["to"]),
            )
            for ramp in ramps
        ]
        found.append(
            section("Every ramp", parts.table(("When", "Who", "Why", "From", "To"), rows, label="Ramps", text=3))
        )
    return found


def _groups(groups: Mapping[str, Any]) -> Markup:
    rows = [
        (
            name,
            fig.count(one["requests"]),
            fig.count(one["errors"]),
            fig.ms(one["up_p95_ms"]),
            fig.ms(one["took_p95_ms"]),
        )
        for name, one in (("copied", groups["copied"]), ("control group", groups["others"]))
    ]
    columns = ("Users", "Requests", "Errors", "p95 at production", "p95 until nginx was through")
    return parts.table(columns, rows, label="Production watched")
