"""The gate that our nginx is, said once more in Python: for requests that somebody else's mirror sends. Pure.

What it decides and passes is what the maps and the mirror's location of ``nginx_blocks`` do, bit for bit; a test sends the
same requests through both. Differences that stay: header lines of one name are joined as nginx does since 1.23, and what
nginx would answer with 400 is no request here either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.split.conditions import only_patterns
from darktime.split.copied_paths import CopiedPaths, told
from darktime.split.credentials import cookies_left, headers_left, parameters_left
from darktime.split.sampling import bucket, valid_user
from darktime.split.settings import BODILESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from darktime.split.key import UserKey
    from darktime.split.settings import CopySettings


_OF_CONTENT: Final = ("Content-Type", "Content-Encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A request of a user who may be in: who, in which bucket, which headers go on, whether a credential stays behind."""

    user: str
    bucket: int
    headers: tuple[tuple[str, str], ...]
    stripped: bool


class Gate:
    """Decides by settings; of those only what concerns whose requests are copied, and what of them."""

    def __init__(self, settings: CopySettings) -> None:
        self._settings = settings
        self._key = settings.user_key
        self._only = only_patterns(settings.only)
        self._methods = frozenset(settings.copied_methods)
        self._paths = CopiedPaths(
            excluded=settings.excluded, unless_named=settings.unless_named, only=settings.only_paths
        )
        self._headers_left = headers_left(settings)
        self._cookies_left = re.compile(cookies_left(settings), re.IGNORECASE | re.ASCII)
        self._parameters_left = re.compile(parameters_left(settings), re.IGNORECASE | re.ASCII)

    def passes(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Passed | None:
        """What our nginx would copy of this request at its maximum percentage; None where it would copy nothing.

        Args:
            method: as it came.
            target: path and query, as they came.
            headers: names and values, as they came, without the spaces around the values.
        """
        if method not in self._methods:
            return None
        found = variables(headers)
        if found.get("upgrade") or found.get("x_darktime"):
            return None
        raw, args = parts(target)
        path = normalized(raw)
        if path is None:
            return None
        asked = told(path, args, target)
        if self._paths.excludes(asked) is not None or not self._paths.names(asked):
            return None
        if not all(pattern.match(_value(key, found, args)) for key, pattern in self._only):
            return None
        user = _value(self._key, found, args)
        its_bucket = bucket(self._settings.salt, user) if valid_user(user.encode("latin-1")) else None
        if its_bucket is None or its_bucket >= self._settings.buckets:
            return None
        stripped = self._is_stripped(found, target)
        return Passed(user=user, bucket=its_bucket, headers=self._passed(method, found), stripped=stripped)

    def _passed(self, method: str, found: dict[str, str]) -> tuple[tuple[str, str], ...]:
        settings = self._settings
        passed = [("Host", found.get("host", ""))]
        passed += [(name, found.get(name.lower().replace("-", "_"), "")) for name in settings.allow_headers]
        cookies = [(name, cookie(found.get("cookie", ""), name)) for name in settings.allow_cookies]
        passed.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies if value)))
        if method not in BODILESS:
            passed += [(name, found.get(name.lower().replace("-", "_"), "")) for name in _OF_CONTENT]
        return tuple((name, value) for name, value in passed if value)

    def _is_stripped(self, found: dict[str, str], target: str) -> bool:
        return (
            any(found.get(name) for name in self._headers_left)
            or self._cookies_left.match(f"|{found.get('cookie', '')}") is not None
            or self._parameters_left.search(target) is not None
        )


def _value(key: UserKey, found: dict[str, str], args: str) -> str:
    if key.kind == "cookie":
        return cookie(found.get("cookie", ""), key.name)
    if key.kind == "query":
        return argument(args, key.name)
    return found.get(key.name.lower().replace("-", "_"), "") if key.kind == "header" else ""


def without_content(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Of a copy that has no body: nothing says what it is."""
    return tuple((name, value) for name, value in headers if name not in _OF_CONTENT)


def variables(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by the names that nginx's variables have: lower case, with _; lines of one name joined."""
    found: dict[str, str] = {}
    for name, value in headers:
        low = name.lower().replace("-", "_")
        found[low] = f"{found[low]}{'; ' if low == 'cookie' else ', '}{value}" if low in found else value
    return found


def cookie(header: str, name: str) -> str:
    """A cookie's value as nginx finds it: the first of that name, whatever its case; empty where there is none.

    Until it is found a comma ends a cookie as a semicolon does; its own value ends at a semicolon only.
    """
    at, wanted = 0, name.lower()
    while at < len(header):
        after = at + len(name)
        if header[at:after].lower() == wanted:
            rest = header[after:].lstrip(" ")
            if rest.startswith("="):
                return rest[1:].lstrip(" ").partition(";")[0]
        ends = [end for end in (header.find(";", at), header.find(",", at)) if end >= 0]
        if not ends:
            return ""
        at = min(ends) + 1
        at += len(header[at:]) - len(header[at:].lstrip(" "))
    return ""


def argument(args: str, name: str) -> str:
    """A query parameter's value as nginx finds it: the first, whatever its name's case, as it came."""
    start = name.lower() + "="
    return next((part[len(start) :] for part in args.split("&") if part[: len(start)].lower() == start), "")


def parts(target: str) -> tuple[str, str]:
    """Path and query as they came; a fragment belongs to neither."""
    path, _, args = target.partition("#")[0].partition("?")
    return path, args


def normalized(path: str) -> str | None:
    """A path as nginx's ``$uri`` has it: decoded, slashes merged, dots resolved. None for what it answers with 400."""
    if not path.startswith("/"):
        return None
    text = _decoded(path)
    if text is None:
        return None
    kept: list[str] = []
    segments = re.sub(r"/+", "/", text)[1:].split("/")
    for segment in segments:
        if segment == "..":
            if not kept:
                return None
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _decoded(path: str) -> str | None:
    pieces = path.split("%")
    found = [pieces[0]]
    for piece in pieces[1:]:
        if not re.match(r"[0-9A-Fa-f]{2}", piece) or piece[:2] == "00":
            return None
        found += [chr(int(piece[:2], 16)), piece[2:]]
    return "".join(found)
