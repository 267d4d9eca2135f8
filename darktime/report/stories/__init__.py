"""What a page tells about each kind of results, in order: how it ended, what that rests on, how to do it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A page without its frame."""

    title: str
    kicker: str
    headline: str
    badge: Markup
    lead: tuple[str, ...]
    sections: tuple[Markup, ...]


def section(title: str, *content: Markup) -> Markup:
    """A part of the page under its own heading."""
    return tag("section", tag("h2", title), *content, class_="part")


def when(results: Mapping[str, Any]) -> str:
    """The start of a run as people read it: the date and the second."""
    return str(results["started"])[:19].replace("T", " ") + " UTC"


def copies_tile(copies: Mapping[str, Any]) -> Markup:
    """How many copies were compared, of how many."""
    left = fig.count(sum(copies["reasons"].values()))
    note = f"of {fig.count(copies['offered'])} offered; {left} left with a reason"
    return parts.tile("Copies compared", fig.count(copies["compared"]), note)
