"""Reads HTTP/1.x requests out of bytes that arrive in pieces. Pure: bytes in, requests or one refusal out.

It is strict on purpose: what two readers could understand differently (bare line feeds, folded lines, two lengths, a
length beside a transfer coding) is refused, and nothing after it is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEAD: Final = re.compile(rb"(%b) ([!-~]+) HTTP/1\.([01])\r\n((?:%b:[\t -~\x80-\xff]*\r\n)*)\r\n" % (_TOKEN, _TOKEN))
_FIELD: Final = re.compile(rb"([^:]+):([^\r]*)\r\n")
_OTHER_VERSION: Final = re.compile(rb"%b [!-~]+ HTTP/(?!1\.[01]\r)[0-9]+(?:\.[0-9]+)?\r\n" % _TOKEN)
_FIRST: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_NOTHING: Final = b"\r\n"
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"event-id", b"event-type", b"event-at", b"last-event-id"}
)


class Request(NamedTuple):
    """One request. A tuple, because one is made for every publish and costs a third of a frozen dataclass."""

    method: str
    target: str
    modern: bool  # HTTP/1.1, not 1.0
    keep_alive: bool
    headers: dict[bytes, bytes]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is answered with an error: the status, and the sentence that explains it."""

    status: int
    explain: str = ""
    allow: str = ""


class _Head(NamedTuple):
    method: str
    target: str
    modern: bool
    keep_alive: bool
    headers: dict[bytes, bytes]
    length: int


class RequestReader:
    """Takes bytes in any pieces and gives the requests in them, one at a time.

    Attributes:
        continue_wanted: the client waits for ``100 Continue`` before it sends the body; who says so clears it.
    """

    __slots__ = ("_at", "_buffer", "_head", "_max_body", "_max_head", "_refused", "_skipped", "continue_wanted")

    def __init__(self, max_head: int, max_body: int) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._buffer = b""
        self._at = 0
        self._head: _Head | None = None
        self._skipped = False
        self._refused = False
        self.continue_wanted = False

    def feed(self, piece: bytes) -> None:
        """Add what has arrived; after a refusal it is thrown away."""
        if not self._refused:
            self._buffer = self._buffer[self._at :] + piece if self._at < len(self._buffer) else piece
            self._at = 0

    def incomplete(self) -> bool:
        """Whether a request has begun to arrive that cannot be given yet. Ask after ``next_request`` has given None."""
        return self._head is not None or self._at < len(self._buffer)

    def next_request(self) -> Request | Refusal | None:
        """The next whole request; a refusal, once, after which nothing follows; or None until more has arrived."""
        if self._refused:
            return None
        head = self._head
        if head is None:
            found = self._read_head()
            if found is None:
                return None
            if isinstance(found, Refusal):
                self._refused = True
                self._buffer = b""
                self._at = 0
                return found
            head = found
        end = self._at + head.length
        if len(self._buffer) < end:
            if self._head is None:
                self._head = head
                self.continue_wanted = head.modern and head.headers.get(b"expect", b"").lower() == b"100-continue"
            return None
        body = self._buffer[self._at : end]
        self._at = end
        self._head = None
        self._skipped = False
        self.continue_wanted = False
        return Request(head.method, head.target, head.modern, head.keep_alive, head.headers, body)

    def _read_head(self) -> _Head | Refusal | None:
        buffer = self._buffer
        if not self._skipped and buffer.startswith(_NOTHING, self._at):
            self._at += 2  # one empty line before a request: old clients end a body with it
            self._skipped = True
        at = self._at
        if at == len(buffer) or (not self._skipped and buffer[at:] == b"\r"):
            return None
        if not _FIRST.match(buffer, at):
            return Refusal(status=400, explain="The request does not begin with a method.")
        match = _HEAD.match(buffer, at, at + self._max_head)
        if match is None:
            return self._no_head(at)
        self._at = match.end()
        method, target, minor, lines = match.groups()
        pairs = _FIELD.findall(lines)
        headers = {name.lower(): value.strip(b" \t") for name, value in pairs}
        if len(headers) != len(pairs):
            twice = _join_repeated(headers, pairs)
            if twice is not None:
                return twice
        modern = minor == b"1"
        if modern and b"host" not in headers:
            return Refusal(status=400, explain="HTTP/1.1 needs a Host header.")
        length = self._length(headers)
        if isinstance(length, Refusal):
            return length
        keep_alive = modern
        if b"connection" in headers:
            options = {option.strip() for option in headers[b"connection"].lower().split(b",")}
            keep_alive = b"close" not in options and (modern or b"keep-alive" in options)
        return _Head(method.decode(), target.decode(), modern, keep_alive, headers, length)

    def _no_head(self, at: int) -> Refusal | None:
        """Why there is no head yet: it is unfinished, too long, or none."""
        seen = self._buffer[at : at + self._max_head]
        end = seen.find(b"\r\n\r\n")
        inside = seen if end < 0 else seen[:end]
        if inside.count(b"\n") != inside.count(b"\r\n"):
            return Refusal(status=400, explain="Lines end with CR LF, not with LF alone.")
        if end >= 0:
            if _OTHER_VERSION.match(seen):
                return Refusal(status=505, explain="HTTP/1.0 and HTTP/1.1 are spoken here.")
            return Refusal(status=400, explain="The request line or a header is malformed.")
        if len(seen) == self._max_head:
            return Refusal(status=431, explain=f"Request line and headers are longer than {self._max_head} bytes.")
        return None

    def _length(self, headers: dict[bytes, bytes]) -> int | Refusal:
        """How long the body is."""
        text = headers.get(b"content-length")
        if b"transfer-encoding" in headers:
            if text is not None:
                return Refusal(status=400, explain="A length beside a transfer coding is ambiguous.")
            return Refusal(status=411, explain="Transfer codings are not taken: send Content-Length.")
        if text is None:
            return 0
        if not _LENGTH.fullmatch(text):
            return Refusal(status=400, explain="Content-Length is not a number of bytes.")
        length = int(text)
        if length > self._max_body:
            return Refusal(status=413, explain=f"The body is longer than {self._max_body} bytes.")
        return length


def _join_repeated(headers: dict[bytes, bytes], pairs: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Headers that came several times become one list, in place; those that have one value are refused."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value.strip(b" \t"))
    for name, several in values.items():
        if len(several) > 1 and name in _ONCE:
            return Refusal(status=400, explain=f"Header {name.decode().title()} came more than once.")
        headers[name] = b", ".join(several)
    return None
