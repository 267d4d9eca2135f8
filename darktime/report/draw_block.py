"""Who was in, on a page and in a line: by the draw, at each percentage, and of how many users that may be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.markup import tag
from darktime.report.stories import section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.report.kinds import Results
    from darktime.report.markup import Markup

HOW = (
    "A user is in whose bucket, by a hash, lies below the percentage; a ramp up keeps everybody who was in. Those who are "
    "not in are counted by nobody: how many there are is what the draw tells (95 %), of users who asked for what may be copied."
)


def sampled(users: Mapping[str, Any]) -> str:
    """How many users' copies came; at least so many where the relay knows no more names."""
    return f"{'at least ' if users.get('at_least') else ''}{fig.count(users['sampled'])}"


def draw(results: Results) -> list[Markup]:
    """Each percentage that stood; nothing of results that do not say, or at which nobody was ever in."""
    users = results["users"]
    if not users.get("steps"):
        return []
    least = "at least " if users["steps_at_least"] else ""
    rows = [
        (
            datetime.fromtimestamp(step["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            fig.duration(step["until"] - step["since"]),
            fig.percent(step["percent"]),
            f"{fig.count(step['buckets'])} of {fig.count(users['buckets'])}",
            f"{least}{fig.count(step['users'])}",
            of_how_many(step["of"], least),
        )
        for step in users["steps"]
    ]
    columns = ("Since", "For", "Percent", "Buckets", "Users compared", "Users in all")
    left = users["steps_left_out"]
    earlier = [tag("p", f"{fig.count(left)} earlier percentages are not kept.", class_="note")] if left else []
    table = parts.table(columns, rows, label="Who was in")
    return [section("Who was in", tag("p", HOW), table, *_least(users), *earlier)]


def of_how_many(told: Mapping[str, int] | None, least: str = "") -> str:
    """Within which bounds the number of all lies; of a count that is a lower bound only the lower."""
    if told is None:
        return "a list says who"
    if least:
        return f"at least {fig.count(told['low'])}"
    return f"{fig.count(told['low'])} to {fig.count(told['high'])}"


def _least(users: Mapping[str, Any]) -> list[Markup]:
    why = []
    if users["at_least"]:
        why.append(f"the relay knows {fig.count(users['sampled'])} users by name, and had copies of more")
    if users["steps_at_least"]:
        why.append("pairs had no room in their file, and their users are not counted")
    return [tag("p", f"Lower bounds: {'; '.join(why)}.", class_="note")] if why else []
