"""How two JSON bodies differ, field by field. Pure; bounded in depth and in what it looks at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare.difference import (
    BODY,
    CHANGED,
    EXTRA,
    LENGTH,
    MISSING,
    ORDER,
    TYPE,
    FieldDifference,
    Found,
)
from darktime.split.compare.field_path import below, element
from darktime.split.compare.json_body import MAX_DEPTH, canonical

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_NODES: Final = 10_000
MOST_DIFFERENCES: Final = 100
# What elements of a list are commonly known by.
_IDENTITIES: Final = ("id", "_id", "uuid", "pk", "key")


def _ordered(path: str) -> bool:  # noqa: ARG001 - every list is
    return False


def differences(one: Any, other: Any, *, unordered: Callable[[str], bool] = _ordered) -> Found:
    """The differences of two values that ``read_json`` read, each field and kind once.

    ``unordered``: whether the order of the elements of a list counts for nothing, by the path of its elements. A list whose
    elements have an id is compared by it: an element that was put in front is a difference of length, not of all fields.
    """
    walk = _Walk(unordered)
    walk.values(one, other, "", 0)
    return Found(differences=tuple(walk.found.values()), cut=walk.cut)


class _Walk:
    """One comparison."""

    def __init__(self, unordered: Callable[[str], bool]) -> None:
        self.found: dict[tuple[str, str], FieldDifference] = {}
        self.cut = False
        self._unordered = unordered
        self._nodes = 0

    def values(self, one: Any, other: Any, path: str, depth: int) -> None:
        """Compare two values."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self.cut = True
        elif _type(one) != _type(other):
            self._note(path, TYPE, one, other)
        elif not isinstance(one, dict | list):
            if one != other:
                self._note(path, CHANGED, one, other)
        elif depth >= MAX_DEPTH:
            if canonical(one) != canonical(other):
                self._note(path, CHANGED, one, other)
        elif isinstance(one, dict):
            self._objects(one, other, path, depth)
        else:
            self._lists(one, other, path, depth)

    def _objects(self, one: dict[str, Any], other: dict[str, Any], path: str, depth: int) -> None:
        for key, value in one.items():
            if key in other:
                self.values(value, other[key], below(path, key), depth + 1)
            else:
                self._note(below(path, key), MISSING, value, None)
        for key, value in other.items():
            if key not in one:
                self._note(below(path, key), EXTRA, None, value)

    def _lists(self, one: list[Any], other: list[Any], path: str, depth: int) -> None:
        here = element(path)
        self._nodes += len(one) + len(other)
        first, second = [canonical(part) for part in one], [canonical(part) for part in other]
        if first == second:
            return
        loose = self._unordered(here)
        if len(one) != len(other):
            self._note(here, LENGTH, len(one), len(other))
        elif sorted(first) == sorted(second):
            if not loose:
                self._note(here, ORDER, one, other)
            return
        name = _identity(one, other)
        if name is not None:
            self._by_identity(one, other, here, depth, name, loose=loose)
            return
        if loose or len(one) != len(other):
            # What both have is no difference; what is left is paired as it stands, and the rest is the length's.
            one, other = _left(one, first, second), _left(other, second, first)
        if loose:
            one, other = sorted(one, key=canonical), sorted(other, key=canonical)
        for part, its in zip(one, other, strict=False):
            self.values(part, its, here, depth + 1)

    def _by_identity(self, one: list[Any], other: list[Any], here: str, depth: int, name: str, *, loose: bool) -> None:
        theirs = {part[name]: part for part in other}
        mine = {part[name] for part in one}
        common = [part[name] for part in one if part[name] in theirs]
        if len(one) == len(other) and len(common) < len(one):
            gone = next(part[name] for part in one if part[name] not in theirs)
            new = next(part[name] for part in other if part[name] not in mine)
            self._note(below(here, name), CHANGED, gone, new)
        if not loose and common != [part[name] for part in other if part[name] in mine]:
            self._note(here, ORDER, one, other)
        own = {part[name]: part for part in one}
        for identity in common:
            self.values(own[identity], theirs[identity], here, depth + 1)

    def _note(self, path: str, kind: str, one: Any, other: Any) -> None:
        where = (path or BODY, kind)
        if where in self.found:
            return
        if len(self.found) >= MOST_DIFFERENCES:
            self.cut = True
            return
        self.found[where] = FieldDifference(path=where[0], kind=kind, one=one, other=other)


def _identity(one: list[Any], other: list[Any]) -> str | None:
    """The field by which the elements of both lists can be told apart, and are mostly the same ones."""
    for name in _IDENTITIES:
        sides = [[part.get(name) if isinstance(part, dict) else None for part in side] for side in (one, other)]
        if all(
            all(type(value) in (str, int) for value in side) and len(set(side)) == len(side) > 0 for side in sides
        ) and 2 * len(set(sides[0]) & set(sides[1])) >= min(len(one), len(other)):
            return name
    return None


def _left(parts: list[Any], mine: list[bytes], theirs: list[bytes]) -> list[Any]:
    """The elements that the other list does not have, or has less often."""
    there = Counter(theirs)
    left = []
    for part, written in zip(parts, mine, strict=True):
        if there[written]:
            there[written] -= 1
        else:
            left.append(part)
    return left


def _type(value: Any) -> type | str:
    return "number" if type(value) is int or type(value) is float else type(value)
