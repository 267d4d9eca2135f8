"""What a value is by its nature, so that two of it differ without meaning anything. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, Final

UUID: Final = "uuid"
TIMESTAMP: Final = "timestamp"
TOKEN: Final = "token"  # noqa: S105 - the name of a class
# Neither of the two values has all that a drawn one has: it is a token if others of its field are.
TOKEN_LIKE: Final = "token-like"  # noqa: S105 - the name of a class
FLOAT: Final = "float"
# Of what today's code differs in, so much must have been seen between its own two answers. A time of now and a rounding
# are narrow by themselves; an id that today's code keeps, and the new code draws anew each time, is no noise.
NEEDED_NOISE: Final = {UUID: 0.5, TOKEN: 0.5, TIMESTAMP: 0.0, FLOAT: 0.0}
SECONDS_APART: Final = 60.0  # three answers to one request: a time that is off by an hour is no time of now
RELATIVE: Final = 1e-9
_MAX_TEXT: Final = 4096
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"(?=.*[0-9])[0-9a-f]{16,}|(?=.*[0-9])[0-9A-F]{16,}")
_LETTERS: Final = re.compile(r"[A-Za-z0-9_+/=.-]{20,}")
_DRAWN: Final = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_+/=.-]{20,}")
_ISO: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
_EPOCHS: Final = ((1e9, 4e9, 1.0), (1e12, 4e12, 1e3), (1e15, 4e15, 1e6), (1e18, 4e18, 1e9))  # s, ms, µs, ns


def class_of(one: Any, other: Any) -> str:
    """The class that both values have, empty if none: their difference may be one of nature."""
    if isinstance(one, bool) or isinstance(other, bool):
        return ""
    if isinstance(one, str) and isinstance(other, str):
        return _class_of_texts(one, other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        if _same_moment(_epoch(one), _epoch(other)):
            return TIMESTAMP
        if (isinstance(one, float) or isinstance(other, float)) and math.isclose(one, other, rel_tol=RELATIVE):
            return FLOAT
    return ""


def joined(one: str, other: str) -> str:
    """The class of values of which some are of ``one`` and some of ``other``; empty if they have none in common.

    A token of 20 letters and digits has no digit once in thirty times: what it is, its field tells, not each pair.
    """
    if one == other:
        return one
    return TOKEN if {one, other} == {TOKEN, TOKEN_LIKE} else ""


def _class_of_texts(one: str, other: str) -> str:
    if max(len(one), len(other)) > _MAX_TEXT:
        return ""
    if _UUID.fullmatch(one) and _UUID.fullmatch(other):
        return UUID
    if _same_moment(_moment(one), _moment(other)):
        return TIMESTAMP
    return _token(one, other) if len(one) == len(other) else ""


def _token(one: str, other: str) -> str:
    if _HEX.fullmatch(one) and _HEX.fullmatch(other):
        return TOKEN
    if not (_LETTERS.fullmatch(one) and _LETTERS.fullmatch(other)):
        return ""
    return TOKEN if _DRAWN.fullmatch(one) or _DRAWN.fullmatch(other) else TOKEN_LIKE


def _same_moment(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= SECONDS_APART


def _epoch(value: float) -> float | None:
    """Seconds since 1970 of a number that looks as if it counted them, or thousandths, millionths, billionths of them."""
    for low, high, scale in _EPOCHS:
        if low <= value < high:
            return value / scale
    return None


def _moment(text: str) -> float | None:
    if not _ISO.fullmatch(text):
        return _epoch(float(text)) if re.fullmatch(r"[0-9]{10,19}(?:\.[0-9]{1,9})?", text) else None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
