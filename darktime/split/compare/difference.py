"""A difference of two answers at one field, and the kinds there are. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

CHANGED: Final = "changed"  # another value of the same type
TYPE: Final = "type"  # a value of another type
MISSING: Final = "missing"
EXTRA: Final = "extra"
ORDER: Final = "order"  # the same elements of a list, in another order
LENGTH: Final = "length"  # of a list
KINDS: Final = (CHANGED, TYPE, MISSING, EXTRA, ORDER, LENGTH)

# Fields of an answer that stand in no body.
BODY: Final = "(body)"
STATUS: Final = "(status)"
CONTENT_TYPE: Final = "(type)"
EVENTS: Final = "(events)"  # of a stream, all of them
PSEUDO: Final = (BODY, STATUS, CONTENT_TYPE, EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """Where two bodies differ. ``path`` as reports name it, ``posts[].at``; ``one`` and ``other``: the values."""

    path: str
    kind: str
    one: Any
    other: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The differences of two answers, each field and kind once. ``cut``: there was more to look at than the limits let."""

    differences: tuple[FieldDifference, ...] = ()
    cut: bool = False
