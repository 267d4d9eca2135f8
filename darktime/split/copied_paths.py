"""Which paths are copied: none that looks as if it changed something, unless it is named. Pure; for nginx and for Python.

A word that says so counts where it begins or ends a word of the path or query: /password_reset/, /resetPassword and /logout.php,
not /presets/. Whoever names such a path (``--path /admin/``) wants it: below that prefix the word counts no more. What people
exclude themselves counts anywhere, also there. Escapes count as what they stand for: %6Cogout is a logout, in a query too, where
nginx decodes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# What looks as if it changed something, or let somebody in.
EXCLUDED: Final = ("logout", "signout", "verify", "reset", "unsubscribe", "oauth", "admin")
# An escape (%2F) stands before a word as what it stands for would; in resetPassword a capital begins the next.
_HUMP: Final = "(?-i:(?<=[a-z])(?=[A-Z]))"
_BEFORE: Final = f"(?:(?<![a-z])|(?<=%[0-9a-f]{{2}})|{_HUMP})"
_AFTER: Final = f"(?:(?![a-z])|{_HUMP})"
_MOST_PATTERN: Final = 3_000  # characters: nginx takes 4,096 a parameter
_NOT_AFTER: Final = {"reset": "(?<!p)"}  # a preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """``pattern``: a regular expression; where it is found, whatever its case, no copy is made because of one of ``words``."""

    words: tuple[str, ...]
    pattern: str


def exclusions(excluded: tuple[str, ...], unless_named: tuple[str, ...], only: tuple[str, ...]) -> list[Exclusion]:
    """What is not copied. They are looked for in what ``told`` makes, which begins with the path.

    ``excluded``: words that count anywhere. ``unless_named``: those that do not below a prefix of ``only`` that has them itself.
    """
    found = _anywhere(excluded)
    named = {word: [path for path in only if _has(path, word)] for word in unless_named}
    everywhere = tuple(word for word in unless_named if not named[word])
    if everywhere:
        found.append(Exclusion(words=everywhere, pattern=_as_words(everywhere)))
    for word, paths in named.items():
        if paths:
            those = "|".join(map(re.escape, paths))
            found.append(Exclusion(words=(word,), pattern=f"^(?!(?-i:{those}))(?s:.*){_as_words((word,))}"))
    return found


class CopiedPaths:
    """Says of what ``told`` makes of a request whether it is copied, as nginx does with the same patterns."""

    def __init__(
        self, *, excluded: tuple[str, ...] = (), unless_named: tuple[str, ...] = EXCLUDED, only: tuple[str, ...] = ()
    ) -> None:
        self._only = only
        self._exclusions = [
            (one, re.compile(one.pattern, re.IGNORECASE | re.ASCII)) for one in exclusions(excluded, unless_named, only)
        ]

    def excludes(self, asked: str) -> str | None:
        """The word for which no copy is made; None where none is in the way."""
        for one, pattern in self._exclusions:
            if pattern.search(asked):
                return next((word for word in one.words if _found(word, asked)), one.words[0])
        return None

    def names(self, asked: str) -> bool:
        """Whether it is among those that alone are copied."""
        return not self._only or asked.startswith(self._only)


def told(path: str, args: str, target: str) -> str:
    """What is looked at: where a request leads, and as it was asked for. A word that excludes may stand in either."""
    return f"{path}?{args} {target}"


def _has(path: str, word: str) -> bool:
    return re.search(_as_words((word,)), path, re.IGNORECASE | re.ASCII) is not None


def _anywhere(words: tuple[str, ...]) -> list[Exclusion]:
    """In as many as it takes."""
    found: list[Exclusion] = []
    for word in words:
        pattern, last = _as_asked(word), found[-1] if found else None
        if last is not None and len(last.pattern) + len(pattern) < _MOST_PATTERN:
            found[-1] = Exclusion(words=(*last.words, word), pattern=f"{last.pattern}|{pattern}")
        else:
            found.append(Exclusion(words=(word,), pattern=pattern))
    return found


def _found(word: str, asked: str) -> bool:
    return re.search(_as_asked(word), asked, re.IGNORECASE | re.ASCII) is not None


def _as_words(words: tuple[str, ...]) -> str:
    begins = "|".join(map(_as_asked, words))
    ends = "|".join(f"{_NOT_AFTER.get(word, '')}{_as_asked(word)}" for word in words)
    first = "".join(sorted({re.escape(word[0]) for word in words}))  # most places of a target are passed at once
    return f"(?=[{first}%])(?:{_BEFORE}(?:{begins})|(?:{ends}){_AFTER})"


def _as_asked(word: str) -> str:
    """The pattern of a word of which any letter may be escaped."""
    return "".join(map(_letter, word))


def _letter(one: str) -> str:
    escaped = "".join(f"%{byte:02x}" for byte in one.encode())
    if one.isascii() and one.isalpha():
        high, low = escaped[1], escaped[2]
        escaped = f"%[{high}{int(high) ^ 2}]{low}"  # of the capital too
    return f"(?:{re.escape(one)}|{escaped})"
