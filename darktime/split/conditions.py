"""Whose requests alone may be copied: those with a certain header, cookie or query value; those of listed users. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.key import parse_key
from darktime.split.sampling import valid_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.split.key import UserKey

MOST_USERS: Final = 100_000
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:/@*+,;=-]{1,200}")


def only_keys(only: Sequence[str]) -> list[tuple[UserKey, str]]:
    """Of conditions as ``header:Host=www.example.org``: where the value stands, and the pattern (nginx's) that it must match.

    Of several with the same name one must hold, of those with different names each. Raises UsageError.
    """
    values: dict[str, tuple[UserKey, list[str]]] = {}
    for text in only:
        name, equals, value = text.partition("=")
        if not equals or name == "ip" or not _VALUE.fullmatch(value):
            raise UsageError(
                f"--only {text!r}: header:NAME=VALUE, cookie:NAME=VALUE or query:NAME=VALUE, as in header:Host=www.example.org "
                "(a value of letters, digits and _ . : / @ * + , ; = - only)"
            )
        key = parse_key(name)
        values.setdefault(key.variable, (key, []))[1].append(value)
    return [(key, f"^(?:{'|'.join(map(re.escape, some))})\\z") for key, some in values.values()]


def only_maps(only: Sequence[str]) -> list[tuple[str, str]]:
    """The same by nginx's variables. Raises UsageError."""
    return [(key.variable, pattern) for key, pattern in only_keys(only)]


def only_patterns(only: Sequence[str]) -> list[tuple[UserKey, re.Pattern[str]]]:
    """The same with Python's patterns, to be matched from the value's beginning. Raises UsageError."""
    return [(key, re.compile(pattern.removesuffix(r"\z") + r"\Z")) for key, pattern in only_keys(only)]


def read_users(text: str, option: str) -> tuple[str, ...]:
    """Users, one a line; empty lines and those that begin with # are none. Raises UsageError, which names the line."""
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        user = line.strip()
        if not user or user.startswith("#"):
            continue
        if not valid_user(user.encode("utf-8", "surrogateescape")) or user in {".", ".."}:
            raise UsageError(
                f"{option}, line {number}: {user[:80]!r} is no user: 1 to 128 letters, digits, _ . : or -, as they stand in the key"
            )
        found[user] = None
        if len(found) > MOST_USERS:
            raise UsageError(
                f"{option} names more than {MOST_USERS:,} users: a list is for some; for a share there is --percent"
            )
    if not found:
        raise UsageError(f"{option} names nobody: one user a line, please")
    return tuple(found)
