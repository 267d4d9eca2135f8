"""Reads JSON bodies so that equal ones are equal: key order, ``-0``, ``1.0`` and ``1`` make no difference. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from darktime.split.compare.field_path import below, element

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LEAVES: Final = 5_000
MAX_DEPTH: Final = 32
_LARGEST: Final = 2.0**63
# Numbers that may be written in two ways: only then does every number have to be looked at.
_TWO_WAYS: Final = re.compile(rb"-0|\.0|[0-9][eE]|[0-9]{17}")


class NotJson(ValueError):  # noqa: N818 - what the body is
    """The bytes are no JSON that can be compared field by field: broken, no UTF-8, or nested too deep."""


def read_json(raw: bytes) -> Any:
    """The value. Integers beyond 64 bits become floats, as most readers make of them. Raises NotJson."""
    try:
        value = orjson.loads(raw)
        if _TWO_WAYS.search(raw):
            value = _one_way(value)
        canonical(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return value


def canonical(value: Any) -> bytes:
    """The same bytes for equal values, and for no others. Raises TypeError for what is nested too deep."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def leaves(value: Any, *, most: int = MOST_LEAVES, depth: int = MAX_DEPTH) -> list[tuple[str, Any]]:
    """The values of a body with their paths, in the order in which they stand; at most ``most`` of them.

    An empty object or list is a leaf, and so is whatever lies deeper than ``depth``.
    """
    found: list[tuple[str, Any]] = []
    for one in _leaves(value, "", depth):
        if len(found) >= most:
            break
        found.append(one)
    return found


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth and value and isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, below(path, key), depth - 1)
    elif depth and value and isinstance(value, list):
        here = element(path)
        for part in value:
            yield from _leaves(part, here, depth - 1)
    else:
        yield path, value


def _one_way(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and -_LARGEST <= value < 2 * _LARGEST else value
    if isinstance(value, dict):
        return {key: _one_way(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_one_way(part) for part in value]
    return value
