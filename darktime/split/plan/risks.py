"""What in the logged requests speaks against copying them: GETs that look as if they did something, secrets in URLs. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from darktime.split.credentials import PARAMETERS, variable

# Verbs in a path or a query's values that say something is changed, sent or paid for.
DOING: Final = frozenset({
    "accept", "activate", "add", "approve", "ban", "buy", "cancel", "checkout", "confirm", "create", "delete", "destroy",
    "disable", "dislike", "do", "downvote", "edit", "enable", "execute", "follow", "import", "insert", "invite", "join",
    "kick", "leave", "like", "login", "mark", "merge", "move", "mute", "order", "pay", "post", "publish", "purge",
    "refund", "register", "reject", "remove", "rename", "report", "revoke", "run", "save", "send", "set", "share",
    "signin", "start", "stop", "submit", "subscribe", "sync", "transfer", "trigger", "undo", "unfollow", "update",
    "upload", "upvote", "vote",
})  # fmt: skip
_VALUES: Final = (
    ("a JSON web token", re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("an e-mail address", re.compile(r"[^@\s/]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")),
    ("a long hexadecimal value", re.compile(r"[0-9A-Fa-f]{32,}")),
    ("a long random value", re.compile(r"(?=[^/]*[0-9])(?=[^/]*[a-z])(?=[^/]*[A-Z])[A-Za-z0-9_+/=-]{40,}")),
)
_CARD: Final = re.compile(r"[0-9]{13,19}")
_WORDS: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SHOWN: Final = 3
_READ: Final = 4096  # characters of a target that are looked at


def unsafe_word(target: str) -> str | None:
    """The word by which a GET looks as if it changed something; None for one that does not.

    Only whole words of the path count, and of queries the parameters ``action``, ``do``, ``cmd``, ``op`` and ``method``.
    """
    path, _, query = target[:_READ].partition("?")
    words = [word.lower() for part in path.split("/") for word in _WORDS.split(part) if word]
    for name, value in _parameters(query):
        if name.lower() in ("action", "do", "cmd", "op", "method"):
            words += [word.lower() for word in _WORDS.split(value) if word]
    return next((word for word in words if word in DOING), None)


def secrets(target: str) -> list[tuple[str, str, str]]:
    """What looks secret: where it stands (``query token``, ``path``), what it looks like, and the value masked."""
    path, _, query = target[:_READ].partition("?")
    found = []
    for name, value in _parameters(query):
        if not value:
            continue
        what = "named so" if variable(name) in PARAMETERS else _kind(value)
        if what:
            found.append((f"query {name}", what, masked(value)))
    for part in path.split("/"):
        kind = _kind(unquote_plus(part)) if part else ""
        if kind and kind != "a long random value":  # the files of a build are called so
            found.append(("path", kind, masked(part)))
    return found


def masked(value: str) -> str:
    """So much of a value that its owner knows it again, and nobody else can use it."""
    shown = value[: min(_SHOWN, len(value) // 4)]
    return f"{shown}… ({len(value):,} characters)"


def _kind(value: str) -> str:
    for what, pattern in _VALUES:
        if pattern.fullmatch(value):
            return what
    if _CARD.fullmatch(value) and _luhn(value):
        return "a card's number"
    return ""


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if at % 2 else 1)
        total += number - 9 if number > 9 else number  # noqa: PLR2004 - the sum of its digits
    return total % 10 == 0


def _parameters(query: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in query.split("&")] if query else []
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in parts]
