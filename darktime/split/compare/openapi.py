"""Reads the paths of an OpenAPI document, in JSON or YAML, behind those of its servers. Pure.

A YAML document is never built: its events are walked, and what is not asked for is passed over. So what its anchors and
aliases would grow to costs nothing, and neither does the rest of a large document.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from darktime.errors import UsageError
from darktime.extras import require

MOST_DEEP: Final = 200
# How the first line that says something begins in YAML: no template of a path looks so.
_YAML: Final = re.compile(r"""(?:\s*(?:\#.*)?\n)*(?:---(?:\s|$)|%YAML\s|["']?[A-Za-z][\w-]*["']?\s*:(?:\s|$))""")
_MERGE: Final = "<<"
_NOTHING: Final = ("", "null", "~")


def is_openapi(text: str) -> bool:
    """Whether the text begins as a document, and not as a list of templates."""
    return text.lstrip().startswith("{") or _YAML.match(text) is not None


def openapi_templates(text: str) -> tuple[str, ...]:
    """The paths, in their order. Raises UsageError."""
    told = _of_json(text) if text.lstrip().startswith("{") else _of_yaml(text)
    paths = told.get("paths")
    if not isinstance(paths, dict):
        raise UsageError("the endpoints file has no 'paths': an OpenAPI document in JSON or YAML, please")
    servers = told.get("servers") or [{"url": told.get("basePath") or ""}]  # of OpenAPI 2
    if not isinstance(servers, list):
        raise UsageError("the endpoints file's 'servers' are no list: an OpenAPI document in JSON or YAML, please")
    bases = [_path_of(str(server.get("url", ""))) for server in servers if isinstance(server, dict)]
    return tuple(dict.fromkeys(f"{base}{path}" for base in bases or [""] for path in paths if path.startswith("/")))


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError as error:
        raise UsageError(f"the endpoints file's server {url[:80]!r} is no URL ({error}); mend it, please") from error


def _of_json(text: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the endpoints file begins as JSON and is none ({error})") from error
    return told


def _of_yaml(text: str) -> dict[str, Any]:
    """What of the document is asked for: names of ``paths``, URLs of ``servers``, ``basePath``. Raises UsageError."""
    require(["yaml"])
    import yaml  # noqa: PLC0415 - who has JSON needs none

    # The C library's parser, where PyYAML was built with it: a large document takes a second and not a minute.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    walk = _Walk()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            line = event.start_mark.line + 1
            if isinstance(event, yaml.CollectionEndEvent):
                walk.ends()
            elif isinstance(event, yaml.ScalarEvent):
                walk.text(event.value, line)
            elif isinstance(event, yaml.AliasEvent):
                walk.alias(event.anchor, line)
            elif isinstance(event, yaml.CollectionStartEvent):
                walk.begins(line, mapping=isinstance(event, yaml.MappingStartEvent))
    except yaml.YAMLError as error:
        raise UsageError(f"the endpoints file is no YAML {_where(error, text)}; mend it, please") from error
    return walk.found


def _where(error: Any, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"at line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    position = getattr(error, "position", None)  # of a character that YAML does not allow
    line = f"at line {text.count(chr(10), 0, position) + 1}: " if isinstance(position, int) else ""
    return f"{line}{str(error).splitlines()[0]}"


class _Walk:
    """Where in the document an event is. ``found`` is what was asked for."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        # Of each mapping or list that has begun and not ended: the key that is being filled; None in a list.
        self._keys: list[str | None] = []
        self._wants_key: list[bool] = []
        self._mapping: list[bool] = []

    def text(self, value: str, line: int) -> None:
        """A scalar: a key, or what one has."""
        if self._is_key():
            self._keys[-1] = value
            if self._inside("paths", 1):
                if value == _MERGE:
                    raise UsageError(f"the endpoints file's line {line} merges paths from elsewhere: write them there")
                self.found["paths"][value] = {}
        elif self._keys in (["basePath"], ["servers"]):
            self.found[self._keys[0] or ""] = None if value in _NOTHING else value
        elif self._inside("servers", 2) and self._keys[2] == "url":
            self.found["servers"].append({"url": value})
        self._filled()

    def alias(self, name: str, line: int) -> None:
        """What stands elsewhere: nobody follows it."""
        if self._keys == ["paths"] or (self._top() == "servers" and len(self._keys) <= 3):  # noqa: PLR2004
            raise UsageError(
                f"the endpoints file's line {line} has {self._top()} by the alias *{name[:40]}: write them there"
            )
        self._filled()

    def begins(self, line: int, *, mapping: bool) -> None:
        """A mapping or a list begins."""
        if len(self._keys) >= MOST_DEEP:
            raise UsageError(f"the endpoints file's line {line} is more than {MOST_DEEP} levels deep: no OpenAPI is")
        if self._keys == ["paths"] and mapping:
            self.found["paths"] = {}
        elif self._keys == ["servers"]:
            self.found["servers"] = "a mapping" if mapping else []
        self._keys.append(None)
        self._wants_key.append(mapping)
        self._mapping.append(mapping)

    def ends(self) -> None:
        """The last that began ends."""
        for one in (self._keys, self._wants_key, self._mapping):
            one.pop()
        self._filled()

    def _top(self) -> str | None:
        return self._keys[0] if self._keys else None

    def _is_key(self) -> bool:
        return bool(self._wants_key) and self._wants_key[-1]

    def _inside(self, name: str, depth: int) -> bool:
        """Whether this is so many levels below a name of the document's that is of the right kind."""
        return self._top() == name and len(self._keys) == depth + 1 and isinstance(self.found.get(name), _KIND[name])

    def _filled(self) -> None:
        if self._mapping and self._mapping[-1]:
            if not self._wants_key[-1]:
                self._keys[-1] = None
            self._wants_key[-1] = not self._wants_key[-1]


_KIND: Final = {"paths": dict, "servers": list}
