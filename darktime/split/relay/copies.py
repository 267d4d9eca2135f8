"""Copies as nginx sends them, and as they go on to the dark instance. Pure: bytes in, values out, bytes out."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.errors import DarktimeError
from darktime.split.marks import mark
from darktime.split.relay import reasons

if TYPE_CHECKING:
    from collections.abc import Collection

_END: Final = b"\r\n\r\n"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_AT: Final = re.compile(r"[0-9]{1,12}\.[0-9]{3}")
# What belongs to the way from nginx to here, or would change what comes back: events in gzip could not be read.
_OURS: Final = frozenset({
    "connection", "accept-encoding", "content-length", "transfer-encoding", "traceparent", "tracestate",
    "upgrade", "keep-alive", "te", "expect",
})  # fmt: skip


class NotACopy(DarktimeError):  # noqa: N818 - what the peer sent
    """Somebody other than our nginx speaks to the socket; the connection is of no further use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy. ``user`` is the key as nginx validated it; ``at`` is when the request began, as in its log line."""

    id: str
    at: float
    user: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    stripped: bool
    unfit: str | None  # the reason for which it may not go on


class CopyReader:
    """One a connection of nginx's: bytes in, copies out. Raises NotACopy."""

    __slots__ = ("_buffer", "_max_head", "_methods")

    def __init__(self, *, max_head: int, methods: Collection[str]) -> None:
        self._buffer = b""
        self._max_head = max_head
        self._methods = methods

    def feed(self, data: bytes) -> list[Copy]:
        """Take bytes as they arrived; give the copies that they complete."""
        buffer = self._buffer + data if self._buffer else data
        copies = []
        while True:
            end = buffer.find(_END)
            if end < 0 or end > self._max_head:
                break
            copies.append(_read(buffer[:end].decode("latin-1"), self._methods))
            buffer = buffer[end + len(_END) :]
        if len(buffer) > self._max_head:
            raise NotACopy(f"a head of more than {self._max_head} bytes: {buffer[:80]!r}")
        self._buffer = buffer
        return copies


def _read(head: str, methods: Collection[str]) -> Copy:
    first, *lines = head.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:  # noqa: PLR2004 - method, target, version
        raise NotACopy(f"expected a request, read {first[:80]!r}")
    ours: dict[str, str] = {}
    passed: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        low = name.lower()
        if not colon:
            raise NotACopy(f"expected a header, read {line[:80]!r}")
        if low.startswith("x-darktime") or low in _OURS:
            ours[low] = value.strip()
        else:
            passed.append((name, value.strip()))
    request_id, at = ours.get("x-darktime-id", ""), ours.get("x-darktime-at", "")
    if ours.get("x-darktime") != "1" or not _ID.fullmatch(request_id) or not _AT.fullmatch(at):
        raise NotACopy(f"expected a copy with X-Darktime, X-Darktime-Id and X-Darktime-At, read {first[:80]!r}")
    unfit = None
    if words[0] not in methods:
        unfit = reasons.UNSAFE_METHOD
    elif "upgrade" in ours:
        unfit = reasons.UPGRADE
    elif "transfer-encoding" in ours or ours.get("content-length", "0") != "0":
        unfit = reasons.TOO_BIG
    return Copy(
        id=request_id,
        at=float(at),
        user=ours.get("x-darktime-user", ""),
        method=words[0],
        target=words[1],
        headers=tuple(passed),
        stripped="x-darktime-stripped" in ours,
        unfit=unfit,
    )


def request_bytes(copy: Copy, allow_query: Collection[str], secret: str) -> bytes:
    """The request as the dark instance gets it: marked as a copy, with a trace of its own and masked query values."""
    lines = [f"{copy.method} {masked(copy.target, allow_query, secret)} HTTP/1.1"]
    for name, value in copy.headers:
        kept = value.rstrip("; ") if name.lower() == "cookie" else value
        lines.append(f"{name}: {kept}")
    lines.append("X-Darktime: 1")
    lines.append(f"traceparent: 00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def masked(target: str, allow_query: Collection[str], secret: str) -> str:
    """The target with every query value masked that is not allowed by name; a parameter without ``=`` is a value."""
    path, question, query = target.partition("?")
    if not question or not query:
        return target
    return path + "?" + "&".join(_masked_part(part, allow_query, secret) for part in query.split("&"))


def _masked_part(part: str, allow_query: Collection[str], secret: str) -> str:
    name, equals, value = part.partition("=")
    if name in allow_query or not part or (equals and not value):
        return part
    return f"{name}={mark(secret, value)}" if equals else mark(secret, part)
