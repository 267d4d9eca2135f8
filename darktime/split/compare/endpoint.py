"""Endpoints: what a path is a case of. Pure; a label for figures, so there may only be few of them.

A template is a path with names in braces, ``/user/{id}``, as OpenAPI writes it. Where the application's own are known
they are used; a path that fits none of them has its ids collapsed by their look. A name may say what it stands for, as
Starlette writes it: ``{id:int}``; ``{rest:path}`` goes over slashes, any other does not. The endpoint's name leaves that out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from darktime.split.compare.wildcards import KINDS, Wildcards, is_path

if TYPE_CHECKING:
    from collections.abc import Iterable

ID: Final = "{id}"
OTHER: Final = "other"
MOST: Final = 200
_MAX_SEGMENTS: Final = 8
_MAX_SEGMENT: Final = 40
_MOST_REMEMBERED: Final = 10_000
_LONGEST_REMEMBERED: Final = 1_024  # characters of a path
_LONGEST_MATCHED: Final = 2_048  # no application has such a URL; whoever sends it wants to keep somebody busy
# A word that a programmer wrote: letters with _ or - between them, or a version. All else names one thing of many.
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-_.][A-Za-z]+)*|v[0-9]{1,2}")
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
        """The endpoint of a request's target. A path beyond 2,048 characters fits no template."""
        path = target.partition("?")[0].partition("#")[0]
        name = self._known.get(path)
        if name is None:
            found = self._tree.match(path) if len(path) <= _LONGEST_MATCHED else None
            name = found or endpoint_of(path)
            if name not in self._names:
                if len(self._names) < self._most:
                    self._names.add(name)
                else:
                    name = OTHER
            if len(self._known) < _MOST_REMEMBERED and len(path) <= _LONGEST_REMEMBERED:
                self._known[path] = name
        return name


class _Tree:
    """Templates by their segments; of two that fit, the one whose earlier segments are words, then the narrower one."""

    __slots__ = ("any", "name", "rest", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Tree] = {}
        self.any: list[tuple[Wildcards, _Tree]] = []
        self.rest: list[tuple[Wildcards, str]] = []  # what goes over slashes, to the path's end
        self.name: str | None = None

    def add(self, template: str, name: str) -> None:
        node = self
        segments = template.split("/")[1:]
        for at, segment in enumerate(segments):
            if "{" not in segment:
                node = node.words.setdefault(segment, _Tree())
                continue
            if is_path(segment):
                node.rest.append((Wildcards("/".join(segments[at:])), name))
                node.rest.sort(key=_first)
                return
            part = Wildcards(segment)
            found = next((child for one, child in node.any if one.key == part.key), None)
            if found is None:
                found = _Tree()
                node.any.append((part, found))
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
        for part, child in self.any:
            if part.fit(segments[at]):
                found = child._match(segments, at + 1)  # noqa: SLF001
                if found is not None:
                    return found
        left = "/".join(segments[at:]) if self.rest else ""
        return next((name for part, name in self.rest if part.fit(left)), None)


def _first(entry: tuple[Wildcards, object]) -> tuple[int, int]:
    return entry[0].order


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
