"""Copies as nginx sends them, and as they go on to the dark instance. Pure: bytes in, values out, bytes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from darktime.errors import DarktimeError
from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.marks import mark
from darktime.split.relay import reasons
from darktime.split.relay.trace import traceparent
from darktime.split.settings import BODILESS
from realtime_core.quick_values import quickly_made

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# The whole answer, sent before anything else is done: nginx, and with it production's client, waits for it.
ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_END: Final = b"\r\n\r\n"
TOO_BIG: Final = "too_big"  # what nginx says in X-Darktime-Body of a copy whose body it kept back
_ID: Final = re.compile(r"[0-9a-f]{32}")
_AT: Final = re.compile(r"[0-9]{1,12}\.[0-9]{3}")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
# What belongs to the way from nginx to here, or would change what comes back: events in gzip could not be read.
_OURS: Final = frozenset({
    "connection", "accept-encoding", "content-length", "transfer-encoding", "traceparent", "tracestate",
    "upgrade", "keep-alive", "te", "expect",
})  # fmt: skip


# A head as nginx_blocks.copy_directives has it written: what is ours stands together, and plainly. All others are read line
# by line.
_USUAL: Final = re.compile(
    r"([A-Z]+) ([^ \r\n]+) HTTP/1\.1\r\n(Host: [^\r\n]*\r\n)?X-Darktime: 1\r\nX-Darktime-Version: 1\r\n"
    r"X-Darktime-Id: ([0-9a-f]{32})\r\nX-Darktime-At: ([0-9]{1,12}\.[0-9]{3})\r\n"
    r"(?:X-Darktime-User: ([!-~]+)\r\n)?(X-Darktime-Stripped: 1\r\n)?"
)
_PASSED: Final = re.compile(r"^([!-9;-~]+): ([!-~](?:[^\r\n]*[!-~])?)\r$", re.MULTILINE)
_MOST_REMEMBERED: Final = 2_048  # sets of headers: a browser sends the same ones with every request of a page
_LONGEST_REMEMBERED: Final = 1_024


class NotACopy(DarktimeError):  # noqa: N818 - what the peer sent
    """Somebody other than our nginx speaks to the socket; the connection is of no further use."""


class Passed(tuple[tuple[str, str], ...]):  # noqa: SLOT001 - a tuple's subclass may have none
    """A copy's headers, with what is made of them: ``lines`` as they go out, ``streams``: an EventSource stream is asked for."""

    lines: str
    streams: bool

    @classmethod
    def of(cls, headers: Iterable[tuple[str, str]]) -> Self:
        """These, with what is made of them."""
        passed = cls(headers)
        passed.lines = _written(passed)
        passed.streams = asks_for_a_stream(passed)
        return passed


def asks_for_a_stream(headers: tuple[tuple[str, str], ...]) -> bool:
    """Whether the reply may be an EventSource stream."""
    if isinstance(headers, Passed) and hasattr(headers, "streams"):
        return headers.streams
    return any(name.lower() == "accept" and STREAM_TYPE in value.lower() for name, value in headers)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy. ``user`` is the key as nginx validated it; ``at`` is when the request began, as in its log line.

    ``origin``: of one that a function has rewritten, the target as it came; the one that it has now is masked already.
    """

    id: str
    at: float
    user: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    stripped: bool
    unfit: str | None  # the reason for which it may not go on
    body: bytes = b""
    origin: str | None = None


class Room:
    """How many bytes of bodies may be on their way in at once, over all connections."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, size: int) -> bool:
        """Take room for a body, where there is any."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Give it back."""
        self.left += size


class Arriving:
    """One copy whose body is still coming: kept while there is room for it, else thrown away, with the reason.

    In one piece: pieces of two bytes would take twenty times what they hold, and what is counted is what they hold.
    """

    __slots__ = ("_body", "_most", "_room", "copy")

    def __init__(self, copy: Copy, *, most: int, room: Room) -> None:
        self.copy = copy
        self._most = most
        self._body = bytearray()
        self._room = room

    def take(self, piece: bytes) -> None:
        """Take the body's next bytes."""
        if self.copy.unfit is not None:
            return
        if len(self._body) + len(piece) > self._most:
            self.refuse(reasons.TOO_BIG)
        elif not self._room.take(len(piece)):
            self.refuse(reasons.RELAY_FULL)
        else:
            self._body += piece

    def refuse(self, reason: str) -> None:
        """Keep nothing of it."""
        self.copy = replace(self.copy, unfit=self.copy.unfit or reason)
        self.drop()

    def done(self) -> Copy:
        """The copy, whole."""
        whole = replace(self.copy, body=bytes(self._body)) if self._body else self.copy
        self.drop()
        return whole

    def drop(self) -> None:
        """Give the room back."""
        self._room.give(len(self._body))
        self._body = bytearray()


class CopyReader:
    """One a connection of nginx's: bytes in, copies out. Raises NotACopy.

    ``max_body``: bytes of a body that are kept; ``room``: shared by all connections.
    """

    __slots__ = ("_arriving", "_buffer", "_left", "_max_body", "_max_head", "_methods", "_room")
    closing = False  # nginx says when it wants no more

    def __init__(self, *, max_head: int, methods: Collection[str], max_body: int = 0, room: Room | None = None) -> None:
        self._buffer = b""
        self._arriving: Arriving | None = None
        self._left = 0  # bytes of its body
        self._max_head = max_head
        self._max_body = max_body
        self._methods = methods
        self._room = Room(max_body) if room is None else room

    def feed(self, data: bytes) -> list[Copy]:
        """Take bytes as they arrived; give the copies that they complete."""
        if (
            not self._buffer
            and self._arriving is None
            and 0 <= data.find(_END) == len(data) - len(_END) <= self._max_head
        ):
            copy, length = _read(data[:-2].decode("latin-1"), self._methods)  # a whole one, and nothing else: as mostly
            if not length:
                return [copy]
        copies: list[Copy] = []
        if self._arriving is not None:
            data = self._take_body(self._arriving, data, copies)
        buffer = self._buffer + data if self._buffer else data
        while self._arriving is None:
            end = buffer.find(_END)
            if end < 0 or end > self._max_head:
                break
            copy, length = _read(buffer[: end + 2].decode("latin-1"), self._methods)
            buffer = buffer[end + len(_END) :]
            if length:
                self._arriving = Arriving(copy, most=self._max_body, room=self._room)
                self._left = length
                if length > self._max_body:
                    self._arriving.refuse(reasons.TOO_BIG)
                buffer = self._take_body(self._arriving, buffer, copies)
            else:
                copies.append(copy)
        if len(buffer) > self._max_head:
            raise NotACopy(f"a head of more than {self._max_head} bytes: {buffer[:80]!r}")
        self._buffer = buffer
        return copies

    def answer(self, copies: list[Copy]) -> bytes:
        """What these are to be answered."""
        return ANSWER if len(copies) == 1 else ANSWER * len(copies)

    def close(self) -> None:
        """The connection has ended: a body that has not come whole is let go."""
        if self._arriving is not None:
            self._arriving.drop()

    def _take_body(self, arriving: Arriving, data: bytes, copies: list[Copy]) -> bytes:
        piece = data[: self._left]
        self._left -= len(piece)
        arriving.take(piece)
        if not self._left:
            copies.append(arriving.done())
            self._arriving = None
        return data[len(piece) :]


def _read(head: str, methods: Collection[str]) -> tuple[Copy, int]:
    """The copy, and how many bytes of body follow it. ``head`` ends with its last line's end."""
    usual = _USUAL.match(head)
    if usual is not None:
        method, target, host, request_id, at, user, stripped = usual.groups()
        if method in methods:
            rest = head[usual.end() :]
            rest = host + rest if host else rest
            headers = _remembered(rest) if len(rest) <= _LONGEST_REMEMBERED else _usual_headers(rest)
            if headers is not None:
                copy = Copy(
                    id=request_id,
                    at=float(at),
                    user=user or "",
                    method=method,
                    target=target,
                    headers=headers,
                    stripped=stripped is not None,
                    unfit=None,
                )
                return copy, 0
    return _read_exactly(head[:-2], methods)


def _usual_headers(lines: str) -> Passed | None:
    """What goes on of lines that are all of the common form; None where one is not, or does not go on."""
    found = _PASSED.findall(lines)
    if len(found) != lines.count("\n"):
        return None
    for name, _ in found:
        low = name.lower()
        if low in _OURS or low.startswith("x-darktime"):
            return None
    return Passed.of(found)


_remembered = lru_cache(maxsize=_MOST_REMEMBERED)(_usual_headers)


def _read_exactly(head: str, methods: Collection[str]) -> tuple[Copy, int]:
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
    length = _length(ours) if "content-length" in ours or "transfer-encoding" in ours else 0
    unfit = _unfit(words[0], ours, methods, length)
    copy = Copy(
        id=request_id,
        at=float(at),
        user=ours.get("x-darktime-user", ""),
        method=words[0],
        target=words[1],
        headers=tuple(passed),
        stripped="x-darktime-stripped" in ours,
        unfit=unfit,
    )
    return copy, length


def _unfit(method: str, ours: dict[str, str], methods: Collection[str], length: int) -> str | None:
    if method not in methods:
        return reasons.UNSAFE_METHOD
    if "upgrade" in ours:
        return reasons.UPGRADE
    if ours.get("x-darktime-body") == TOO_BIG or (length and method in BODILESS):
        return reasons.TOO_BIG
    return None


def _length(ours: dict[str, str]) -> int:
    """Nginx knows how long a body is before it sends one: it never sends it in chunks."""
    told = ours.get("content-length", "")
    if "transfer-encoding" in ours or not _LENGTH.fullmatch(told):
        raise NotACopy(f"expected the length of a body, read {told[:80]!r}")
    return int(told)


def request_bytes(copy: Copy, allow_query: Collection[str], secret: str) -> bytes:
    """The request as the dark instance gets it: marked as a copy, with a trace of its own and masked query values."""
    target, headers = copy.target, copy.headers
    if copy.origin is None and "?" in target:
        target = masked(target, allow_query, secret)
    lines = headers.lines if isinstance(headers, Passed) else _written(headers)
    if copy.method in BODILESS:
        return f"{copy.method} {target} HTTP/1.1\r\n{lines}traceparent: {traceparent()}\r\n\r\n".encode("latin-1")
    length = f"Content-Length: {len(copy.body)}"
    head = f"{copy.method} {target} HTTP/1.1\r\n{lines}traceparent: {traceparent()}\r\n{length}\r\n\r\n"
    return head.encode("latin-1") + copy.body


def _written(headers: tuple[tuple[str, str], ...]) -> str:
    lines = []
    for name, value in headers:
        kept = value.rstrip("; ") if name.lower() == "cookie" else value
        lines.append(f"{name}: {kept}\r\n")
    return "".join(lines) + "X-Darktime: 1\r\n"


def masked(target: str, allow_query: Collection[str], secret: str) -> str:
    """The target with every query value masked that is not allowed by name; a parameter without ``=`` is a value."""
    path, question, query = target.partition("?")
    if not question or not query:
        return target
    if isinstance(allow_query, frozenset) and len(query) <= _LONGEST_REMEMBERED:
        return f"{path}?{_remembered_query(query, allow_query, secret)}"
    return f"{path}?{_masked_query(query, allow_query, secret)}"


def _masked_query(query: str, allow_query: Collection[str], secret: str) -> str:
    return "&".join([_masked_part(part, allow_query, secret) for part in query.split("&")])


@lru_cache(maxsize=_MOST_REMEMBERED)
def _remembered_query(query: str, allow_query: frozenset[str], secret: str) -> str:
    return _masked_query(query, allow_query, secret)


def _masked_part(part: str, allow_query: Collection[str], secret: str) -> str:
    name, equals, value = part.partition("=")
    if name in allow_query or not part or (equals and not value):
        return part
    return f"{name}={mark(secret, value)}" if equals else mark(secret, part)
