"""A pair: one request as production and as the dark instance answered it, and how the answers differ. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from realtime_core.quick_values import quickly_made

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_MODIFIED = 304
OK = 200
STREAM_TYPE = "text/event-stream"
LENGTH = "length"
ATTRIBUTES = ("status", "type")  # what is compared of every pair unless more is asked for


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One answer. ``seconds``: to the end of the reply; of a stream, to its head. ``length``: bytes of body."""

    status: int
    content_type: str
    length: int
    seconds: float

    def record(self) -> dict[str, Any]:
        """The side as a line of a pairs file holds it."""
        return {
            "status": self.status,
            "content_type": self.content_type,
            "length": self.length,
            "seconds": self.seconds,
        }


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both answers to one request. ``user`` is a mark, not a name; ``at`` is when the request began, seconds UTC.

    ``compared``: what of them can be: ``length`` only where production's is known exactly.
    """

    id: str
    endpoint: str
    user: str
    at: float
    production: Side
    dark: Side
    compared: tuple[str, ...] = ATTRIBUTES

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The pair of one line of a pairs file, decoded."""
        return cls(
            id=record["id"],
            endpoint=record["endpoint"],
            user=record["user"],
            at=record["at"],
            production=Side(**record["production"]),
            dark=Side(**record["dark"]),
            compared=tuple(record.get("compared", ATTRIBUTES)),
        )

    def record(self) -> dict[str, Any]:
        """The pair as a line of a pairs file holds it, version 1."""
        # By hand: dataclasses.asdict took longer than all else that is done with a pair.
        record: dict[str, Any] = {
            "v": 1,
            "id": self.id,
            "endpoint": self.endpoint,
            "user": self.user,
            "at": self.at,
            "production": self.production.record(),
            "dark": self.dark.record(),
        }
        if self.compared != ATTRIBUTES:
            record["compared"] = self.compared
        record["differences"] = [
            {"what": one.what, "production": one.production, "dark": one.dark} for one in compare(self)
        ]
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs: ``status``, ``content_type`` or ``length``."""

    what: str
    production: str
    dark: str


def compare(pair: Pair) -> tuple[Difference, ...]:
    """How the dark answer differs from production's. Times are judged over many pairs; production's bodies nobody knows.

    304 and 200 are the same answer: which one comes depends on what caches know. A content type is compared
    only where both have the same status, and a length only where both have the same type, which is no stream.
    """
    production, dark = pair.production, pair.dark
    if production.status != dark.status:
        if {production.status, dark.status} == {OK, NOT_MODIFIED}:
            return ()
        return (Difference(what="status", production=str(production.status), dark=str(dark.status)),)
    if production.content_type != dark.content_type:
        return (Difference(what="content_type", production=production.content_type, dark=dark.content_type),)
    if LENGTH in pair.compared and production.content_type != STREAM_TYPE and production.length != dark.length:
        return (Difference(what=LENGTH, production=str(production.length), dark=str(dark.length)),)
    return ()
