"""Endpoints: what a path is a case of. Pure; a label for figures, so there may only be few of them.

A template is a path with names in braces, ``/user/{id}``, as OpenAPI writes it. Where the application's own are known
they are used; a path that fits none of them has its ids collapsed by their look. A name may say what it stands for, as
Starlette writes it: ``{id:int}``; ``{rest:path}`` goes over slashes, any other does not. The endpoint's name leaves that out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ID: Final = "{id}"
OTHER: Final = "other"
MOST: Final = 200
_MAX_SEGMENTS: Final = 8
_MAX_SEGMENT: Final = 40
_MOST_REMEMBERED: Final = 10_000
# A word that a programmer wrote: letters with _ or - between them, or a version. All else names one thing of many.
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-_.][A-Za-z]+)*|v[0-9]{1,2}")
_NAME: Final = re.compile(r"\{([^{}]*)\}")
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
_SAID: Final = re.compile(r"(\{[^{}:]*):(?:" + "|".join(KINDS) + r")\}")


class Endpoints:
    """Names the endpoint of each target, ``most`` different ones; what comes after those is ``other``.

    ``templates``: the application's own; they are always named.
    """

    def __init__(self, templates: Iterable[str] = (), *, most: int = MOST) -> None:
        self._tree = _Tree()
        self._names: set[str] = set()
        for template in templates:
            name = _SAID.sub(r"\1}", template)
            self._tree.add(template, name)
            self._names.add(name)
        self._most = max(most, len(self._names))
        self._known: dict[str, str] = {}

    def of(self, target: str) -> str:
        """The endpoint of a request's target."""
        path = target.partition("?")[0].partition("#")[0]
        name = self._known.get(path)
        if name is None:
            name = self._tree.match(path) or endpoint_of(path)
            if name not in self._names:
                if len(self._names) < self._most:
                    self._names.add(name)
                else:
                    name = OTHER
            if len(self._known) < _MOST_REMEMBERED:
                self._known[path] = name
        return name


class _Tree:
    """Templates by their segments; of two that fit, the one whose earlier segments are words, then the narrower one."""

    __slots__ = ("any", "name", "rest", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Tree] = {}
        self.any: list[tuple[tuple[int, int], re.Pattern[str], _Tree]] = []
        self.rest: list[tuple[tuple[int, int], re.Pattern[str], str]] = []  # what goes over slashes, to the path's end
        self.name: str | None = None

    def add(self, template: str, name: str) -> None:
        node = self
        segments = template.split("/")[1:]
        for at, segment in enumerate(segments):
            if "{" not in segment:
                node = node.words.setdefault(segment, _Tree())
                continue
            if any(_kind(one) == PATH for one in _NAME.findall(segment)):
                node.rest.append((*_pattern("/".join(segments[at:])), name))
                node.rest.sort(key=_first)
                return
            order, pattern = _pattern(segment)
            found = next((child for _, one, child in node.any if one.pattern == pattern.pattern), None)
            if found is None:
                found = _Tree()
                node.any.append((order, pattern, found))
                node.any.sort(key=_first)
            node = found
        node.name = node.name or name

    def match(self, path: str) -> str | None:
        return self._match(path.split("/")[1:], 0)

    def _match(self, segments: list[str], at: int) -> str | None:
        if at == len(segments):
            return self.name
        word = self.words.get(segments[at])
        found = word._match(segments, at + 1) if word is not None else None  # noqa: SLF001 - another of this class
        if found is not None:
            return found
        for _, pattern, child in self.any:
            if pattern.fullmatch(segments[at]):
                found = child._match(segments, at + 1)  # noqa: SLF001
                if found is not None:
                    return found
        left = "/".join(segments[at:]) if self.rest else ""
        return next((name for _, pattern, name in self.rest if pattern.fullmatch(left)), None)


def _kind(name: str) -> str:
    said = name.partition(":")[2]
    return said if said in KINDS else "str"


def _pattern(text: str) -> tuple[tuple[int, int], re.Pattern[str]]:
    """What a part of a template matches, and its place among others: ``user-{id}`` before ``{id}``, ``{id:int}`` before it too."""
    pieces = _NAME.split(text)
    words, kinds = pieces[::2], [_kind(name) for name in pieces[1::2]]
    made = re.escape(words[0]) + "".join(
        KINDS[kind] + re.escape(word) for kind, word in zip(kinds, words[1:], strict=True)
    )
    return (-sum(map(len, words)), sum(_RANKS[kind] for kind in kinds)), re.compile(made)


def _first(entry: tuple[tuple[int, int], re.Pattern[str], object]) -> tuple[int, int]:
    return entry[0]


def endpoint_of(target: str) -> str:
    """The template of a target by its look: ``/ev/thread:12?x=1`` is ``/ev/{id}``. At most eight segments are kept."""
    path = target.partition("?")[0].partition("#")[0]
    segments = path.split("/")[1:]
    kept = [part if not part or _is_word(part) else ID for part in segments[:_MAX_SEGMENTS]]
    if len(segments) > _MAX_SEGMENTS:
        kept.append("…")
    return "/" + "/".join(kept)


def _is_word(segment: str) -> bool:
    return len(segment) <= _MAX_SEGMENT and _WORD.fullmatch(segment) is not None
