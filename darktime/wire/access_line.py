"""Reads one line of a web server's access log: combined, common or JSON. Pure.

JSON logs have no format of their own: the members that nginx, Apache, Caddy, Envoy and Traefik write by default or in
their documentation's examples are known, nested or not; every other is kept under its name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LINE: Final = 65_536  # characters; a longer one is no line
_REQUEST: Final = re.compile(r"([A-Z]{1,16}) (\S+)(?: HTTP/[0-9.]+)?")
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_PLAIN: Final = re.compile(
    r"(\S+) \S+ (.{1,256}?) \[(\d\d/[A-Za-z]{3}/\d{4}:[\d:]{8} [+-]\d{4})\] "
    + _QUOTED
    + r" (\d{3}|-) (\d+|-)"
    + rf"(?: {_QUOTED} {_QUOTED})?"
)
_LOCAL: Final = "%d/%b/%Y:%H:%M:%S %z"
_ESCAPED: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))")
_DEPTH: Final = 4
_MILLISECONDS_FROM: Final = 1e11  # as seconds, the year 5138
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "at": ("msec", "ts", "time_iso8601", "time_local", "@timestamp", "timestamp", "start_time", "StartUTC", "time"),
    "request": ("request", "request_line"),
    "method": ("request_method", "method", "request.method", "RequestMethod", "verb"),
    "target": ("request_uri", "uri", "request.uri", "path", "RequestPath", "url", "x-envoy-original-path"),
    "query": ("query_string", "args"),
    "status": ("status", "response_code", "DownstreamStatus", "status_code"),
    "client": ("remote_addr", "client_ip", "request.client_ip", "request.remote_ip", "clientip", "ClientHost", "remote_ip"),
    "user": ("remote_user", "user_id", "ClientUsername"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request. ``at_s``: seconds UTC, as fine as the log is. ``target``: path and query as they were asked for.

    ``fields``: what else the line says, by name; a header is ``http_NAME`` and a cookie ``cookie_NAME``, as nginx names
    them, whatever the log called it.
    """

    at_s: float
    method: str
    target: str
    status: int | None = None
    client: str = ""
    user: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def read_line(line: str) -> Logged | None:
    """What the line says; None for one that is no request in any of the formats."""
    line = line.strip()
    if not line or len(line) > MAX_LINE:
        return None
    return _read_json(line) if line.startswith("{") else _read_plain(line)


def _read_plain(line: str) -> Logged | None:
    found = _PLAIN.match(line)
    if found is None:
        return None
    client, user, when, request, status, _, referer, agent = found.groups()
    asked = _REQUEST.fullmatch(_plain(request))
    at_s = _seconds(when)
    if asked is None or at_s is None or not asked[2].startswith("/"):
        return None
    told = {"http_referer": referer, "http_user_agent": agent}
    return Logged(
        at_s=at_s,
        method=asked[1],
        target=asked[2],
        status=int(status) if status != "-" else None,
        client=client,
        user="" if user == "-" else _plain(user),
        fields={name: _plain(text) for name, text in told.items() if text not in (None, "", "-")},
    )


def _plain(text: str) -> str:
    r"""A quoted text without its escapes: ``\x22`` as nginx and Apache write it, ``\"`` as Apache does."""
    if "\\" not in text:
        return text
    raw = _ESCAPED.sub(lambda one: chr(int(one[1], 16)) if one[1] else one[2], text)
    try:
        return raw.encode("latin-1").decode()
    except UnicodeError:
        return raw


def _read_json(line: str) -> Logged | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    fields = dict(_flat(told, "", _DEPTH))

    def take(what: str) -> str:
        for name in _NAMES[what]:
            if fields.get(name, "") not in ("", "-"):
                return fields.pop(name)
        return ""

    request = _REQUEST.fullmatch(take("request"))
    method, target, query = take("method"), take("target"), take("query")
    if request is not None:
        method, target, query = request[1], request[2], ""
    if query and "?" not in target:
        target = f"{target}?{query}"
    at_s, status = _seconds(take("at")), take("status")
    if at_s is None or not method.isupper() or not method.isalpha() or not target.startswith("/"):
        return None
    client, user = take("client"), take("user")
    return Logged(
        at_s=at_s,
        method=method,
        target=target,
        status=int(status) if status.isdecimal() and len(status) == 3 else None,  # noqa: PLR2004 - digits of a status
        client=client,
        user=user,
        fields=dict(_named(fields)),
    )


def _flat(told: Mapping[str, Any], above: str, depth: int) -> Iterator[tuple[str, str]]:
    for name, value in told.items():
        one = value[0] if isinstance(value, list) and value else value
        if isinstance(one, dict):
            if depth > 1:
                yield from _flat(one, f"{above}{name}.", depth - 1)
        elif isinstance(one, bool) or one is None:
            continue
        elif isinstance(one, str | int | float):
            yield f"{above}{name}", str(one)


def _named(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each field by nginx's name for it; a whole Cookie header as its cookies."""
    for name, value in fields.items():
        if value in ("", "-"):
            continue
        header = _header(name)
        if header == "cookie":
            yield from _cookies(value)
        elif header:
            yield f"http_{header}", value
        else:
            yield name, value


def _header(name: str) -> str:
    """The header that a field is, in nginx's letters; empty for one that is none."""
    lower = name.lower().replace("-", "_")
    for before in ("request.headers.", "headers.", "request_headers.", "http_"):
        if lower.startswith(before):
            return lower.removeprefix(before)
    if name.startswith("request_") and name[8:9].isupper():  # as Traefik writes them
        return lower.removeprefix("request_")
    return lower if lower in ("cookie", "user_agent", "referer") else ""


def _cookies(header: str) -> Iterator[tuple[str, str]]:
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if name and equals:
            yield f"cookie_{name}", value


def _seconds(when: str) -> float | None:
    """Seconds UTC of a number (seconds or milliseconds), a local time of a log, or ISO 8601; None for another text."""
    try:
        number = float(when)
    except ValueError:
        pass
    else:
        return (number / 1000 if number > _MILLISECONDS_FROM else number) if 0 < number < float("inf") else None
    for read in (datetime.fromisoformat, _local):
        try:
            at = read(when)
            return at.timestamp() if at.tzinfo is not None else at.astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _local(when: str) -> datetime:
    return datetime.strptime(when, _LOCAL)  # noqa: DTZ007 - the format has %z
