"""What mirroring did to production, every ramp, what copies went through: sections that pages of several kinds share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.markup import tag
from darktime.report.stories import section
from darktime.report.transform_words import last_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup


def watched(results: Results) -> list[Markup]:
    """How production served the copied and the control group."""
    seen = results.get("production_watched")
    if not seen:
        return []
    lines = [tag("p", seen["sentence"], class_="lead")]
    if seen["groups"]:
        lines.append(_groups(seen["groups"]))
    return [section("What mirroring did to production", *lines)]


def ramps(results: Results) -> list[Markup]:
    """Who ramped, killed or resumed when, and why."""
    if not results.get("ramps"):
        return []
    rows = [
        (
            datetime.fromtimestamp(ramp["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            ramp.get("what", "ramp"),
            ramp["who"],
            ramp["why"],
            fig.percent(ramp["from"]),
            fig.percent(ramp["to"]),
        )
        for ramp in results["ramps"]
    ]
    return [
        section("Every ramp", parts.table(("When", "What", "Who", "Why", "From", "To"), rows, label="Ramps", text=4))
    ]


def gone_through(told: Mapping[str, Any] | None) -> list[Markup]:
    """What it did, how long the relay waited for it, and its first error; nothing where there was none."""
    if not told:
        return []
    facts = parts.facts(
        [
            ("Function", tag("code", told["function"])),
            *((what.capitalize(), fig.count(told[what])) for what in ("called", "rewritten", "dropped", "failed")),
            ("p99", fig.ms(told["p99_ms"])),
            ("At most", fig.ms(told["max_ms"])),
            ("Beyond 10 ms", fig.count(told["slow"])),
            ("First error", tag("code", last_line(told["first_error"])) if told["first_error"] else "none"),
        ]
    )
    return [section("What copies went through", facts)]


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
