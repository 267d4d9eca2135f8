"""What is known of one field of one endpoint: how often two sides differed in it, and what that is taken for. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_EXAMPLES: Final = 3
MOST_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One difference that was seen: the request, today's value and the dark one, cut and escaped."""

    request_id: str
    today: str
    dark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFinding:
    """One kind of difference at one field. All counts are requests.

    ``raw``: today's code and the dark instance differed. ``noise``: two answers of today's code did. ``total``: requests of the
    endpoint that were compared. ``reported``: the dark instance differs more often than today's code does from itself.
    ``masked``: why a difference is taken for one of nature, empty if it is not. ``value_class``: of every value that
    differed, empty if they have none in common.
    """

    endpoint: str
    path: str
    kind: str
    raw: int
    noise: int
    total: int
    reported: bool
    masked: str = ""
    value_class: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def example(self) -> str:
        """One of the examples, in words; empty without one."""
        if not self.examples:
            return ""
        one = self.examples[0]
        return f"{one.today} today, {one.dark} dark (request {one.request_id})"

    def to_dict(self) -> dict[str, Any]:
        """The finding as files hold it."""
        return {**asdict(self), "examples": [asdict(one) for one in self.examples]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The finding of such a record."""
        return cls(**{**saved, "examples": tuple(Example(**one) for one in saved.get("examples", ()))})


def shown(value: Any) -> str:
    """A value as an example holds it: JSON, cut to 80 characters, with nothing that a terminal or a page would obey."""
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:
        text = "(nested too deep to show)"
    cut = text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)
