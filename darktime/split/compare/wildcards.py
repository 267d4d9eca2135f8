"""Whether a text is one that a part of a template stands for, in time linear in the text, whatever the part. Pure.

A regular expression of several names (``{a}-{b}-{c}.html``) may try every way to divide the text among them, and whoever asks
for the path chooses the text. Here the places that can be reached are carried from name to name, each at most once.
"""

from __future__ import annotations

import re
from typing import Final

PATH: Final = "path"
# What a name may say that it stands for, the narrowest first: of two that fit, that one is taken.
KINDS: Final = {
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "int": "[0-9]+",
    "lang": "[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*",
    "slug": "[-a-zA-Z0-9_]+",
    "str": "[^/]+",
    PATH: ".*",
}
_RANKS: Final = {kind: rank for rank, kind in enumerate(KINDS)}
_WHOLE: Final = {kind: re.compile(expression, re.DOTALL) for kind, expression in KINDS.items()}
_ONE: Final = {kind: re.compile(KINDS[kind][:-1], re.DOTALL) for kind in ("int", "slug", "str")}
_LEAST: Final = {"str": 1, PATH: 0}  # of those that take whatever stands there
_FIRST_TAG: Final = re.compile("[a-z]{2,3}")
_TAG: Final = re.compile("-[A-Za-z0-9]{2,8}")
_NAME: Final = re.compile(r"\{([^{}]*)\}")


class Wildcards:
    """A part of a template: ``user-{id}``, ``{a}-{b:int}.html``.

    ``order``: the lower goes first where two fit, ``user-{id}`` before ``{id}``, ``{id:int}`` before it too. ``key``: two that
    match the same texts by the same parts have the same.
    """

    __slots__ = ("_kinds", "_words", "key", "order")

    def __init__(self, part: str) -> None:
        pieces = _NAME.split(part)
        self._words, self._kinds = pieces[::2], [_kind(name) for name in pieces[1::2]]
        self.key = (tuple(self._words), tuple(self._kinds))
        self.order = (-sum(map(len, self._words)), sum(_RANKS[kind] for kind in self._kinds))

    def fit(self, text: str) -> bool:
        """Whether the part stands for all of the text."""
        first, last = self._words[0], self._words[-1]
        if not self._kinds:
            return text == first
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        inner = text[len(first) : len(text) - len(last)]
        if len(self._kinds) == 1:
            return _WHOLE[self._kinds[0]].fullmatch(inner) is not None
        if all(kind == PATH or (kind == "str" and "/" not in inner) for kind in self._kinds):
            return self._leftmost(inner)
        return self._words_in(inner) and self._reached(inner)

    def _leftmost(self, text: str) -> bool:
        """Where each name takes whatever stands there, each word is best found as early as can be."""
        at = 0
        for kind, word in zip(self._kinds, self._words[1:-1], strict=False):
            at = text.find(word, at + _LEAST[kind])
            if at < 0:
                return False
            at += len(word)
        return len(text) - at >= _LEAST[self._kinds[-1]]

    def _words_in(self, text: str) -> bool:
        """Whether the words between the names stand there at all, in their order: most texts end here."""
        at = 0
        for word in self._words[1:-1]:
            at = text.find(word, at)
            if at < 0:
                return False
            at += len(word)
        return True

    def _reached(self, text: str) -> bool:
        places = {0}
        for kind, word in zip(self._kinds, (*self._words[1:-1], ""), strict=True):
            places = {at + len(word) for at in _ends(kind, text, places) if text.startswith(word, at)}
            if not places:
                return False
        return len(text) in places


def is_path(part: str) -> bool:
    """Whether a name in it goes over slashes."""
    return any(_kind(name) == PATH for name in _NAME.findall(part))


def _kind(name: str) -> str:
    said = name.partition(":")[2]
    return said if said in KINDS else "str"


def _ends(kind: str, text: str, places: set[int]) -> set[int]:
    """Where a name may end that begins at one of these places."""
    if kind == "uuid":
        return {found.end() for at in places if (found := _WHOLE[kind].match(text, at))}
    if kind == "lang":
        return _ends_of_tags(text, places)
    if kind == PATH:
        return set(range(min(places), len(text) + 1))
    ends: set[int] = set()
    one, begun = _ONE[kind], False
    for at in range(min(places), len(text)):
        begun = (begun or at in places) and one.match(text, at) is not None
        if begun:
            ends.add(at + 1)
    return ends


def _ends_of_tags(text: str, places: set[int]) -> set[int]:
    found: set[int] = set()
    left = [end for at in places for end in _prefixes(_FIRST_TAG, text, at, least=2)]
    while left:
        at = left.pop()
        if at not in found:
            found.add(at)
            left += _prefixes(_TAG, text, at, least=3)
    return found


def _prefixes(pattern: re.Pattern[str], text: str, at: int, *, least: int) -> range:
    longest = pattern.match(text, at)
    return range(at + least, longest.end() + 1) if longest else range(0)
