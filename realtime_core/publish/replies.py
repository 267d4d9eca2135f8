"""Reads the replies to pipelined publishes from a byte stream, exactly and bounded. Pure: bytes in, replies out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from realtime_core.quick_values import quickly_made

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 65_536
_HEAD_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MAX_CHUNK_LINE: Final = 256
_BODILESS: Final = frozenset({204, 304})
_DIGITS: Final = re.compile(rb"\d{1,10}")


class ReplyError(Exception):
    """What came is no reply, or longer than any answer to a publish is."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One whole reply. ``keep_alive``: whether another may follow; ``explain``: push-stream's reason."""

    status: int
    body: bytes
    keep_alive: bool
    explain: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    status: int
    keep_alive: bool
    explain: str | None
    length: int | None  # None: until the connection ends
    chunked: bool


class ReplyReader:
    """One connection's replies, in order. Whoever sent the requests knows how many to expect."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._body = bytearray()  # of a chunked reply, so far
        # The same box answers with the same head again and again.
        self._known: tuple[bytes, _Head] = (
            b"",
            _Head(status=0, keep_alive=True, explain=None, length=0, chunked=False),
        )

    @property
    def idle(self) -> bool:
        """Whether nothing has come beyond the last whole reply."""
        return self._head is None and not self._buffer

    def feed(self, received: bytes) -> list[Reply]:
        """The replies that are whole now.

        Raises:
            ReplyError: the stream makes no sense; what is still to come on it must not be trusted.
        """
        self._buffer += received
        replies = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        return replies

    def eof(self) -> Reply | None:
        """The reply that ends with the connection; None where none was open, or one was cut off."""
        head = self._head
        if head is None or head.chunked or head.length is not None:
            return None
        return self._made(head, bytes(self._buffer))

    def _next(self) -> Reply | None:
        if self._head is None:
            self._head = self._take_head()
            if self._head is None:
                return None
        head = self._head
        if head.chunked:
            return self._made(head, bytes(self._body)) if self._take_chunks() else None
        if head.length is None:
            if len(self._buffer) > MAX_BODY_BYTES:
                raise ReplyError(f"a body of more than {MAX_BODY_BYTES:,} bytes")
            return None
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        return self._made(head, body)

    def _made(self, head: _Head, body: bytes) -> Reply:
        self._head = None
        self._body = bytearray()
        return Reply(status=head.status, body=body, keep_alive=head.keep_alive, explain=head.explain)

    def _take_head(self) -> _Head | None:
        """The head of the next final reply; interim ones (1xx) are passed over."""
        while True:
            end = self._buffer.find(_HEAD_END, 0, MAX_HEAD_BYTES + len(_HEAD_END))
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise ReplyError(f"a head of more than {MAX_HEAD_BYTES:,} bytes")
                return None
            text = bytes(self._buffer[:end])
            del self._buffer[: end + len(_HEAD_END)]
            if text == self._known[0]:
                return self._known[1]
            head = _parse_head(text)
            if head.status >= 200:  # noqa: PLR2004 - the first final status
                self._known = (text, head)
                return head

    def _take_chunks(self) -> bool:
        """Move whole chunks into the body; whether the last one and the trailer have come."""
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > _MAX_CHUNK_LINE:
                    raise ReplyError("a chunk's size is missing")
                return False
            line = _CHUNK_LINE.fullmatch(self._buffer, 0, end)
            if line is None:
                raise ReplyError(f"{bytes(self._buffer[: min(end, 40)])!r} is no chunk's size")
            size = int(line[1], 16)
            if len(self._body) + size > MAX_BODY_BYTES:
                raise ReplyError(f"a body of more than {MAX_BODY_BYTES:,} bytes")
            start = end + 2
            if size == 0:
                return self._take_trailer(start)
            if len(self._buffer) < start + size + 2:
                return False
            if self._buffer[start + size : start + size + 2] != b"\r\n":
                raise ReplyError(f"a chunk of {size} bytes that does not end there")
            self._body += self._buffer[start : start + size]
            del self._buffer[: start + size + 2]

    def _take_trailer(self, start: int) -> bool:
        # Without trailer fields the line end of the last chunk and the empty line stand together.
        end = self._buffer.find(_HEAD_END, start - 2)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ReplyError(f"a trailer of more than {MAX_HEAD_BYTES:,} bytes")
            return False
        del self._buffer[: end + len(_HEAD_END)]
        return True


def _parse_head(text: bytes) -> _Head:
    first, *lines = text.split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise ReplyError(f"{first[:80]!r} is no status line")
    status = int(status_line[2])
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise ReplyError(f"{line[:80]!r} is no header")
        name, value = field[1].lower(), field[2]
        # Repeated fields are one list; two lengths then are no number, and refused.
        fields[name] = fields[name] + b", " + value if name in fields else value
    words = {word.strip().lower() for word in fields.get(b"connection", b"").split(b",")}
    modern = status_line[1] == b"1"
    keep_alive = b"close" not in words and (modern or b"keep-alive" in words)
    coding = fields.get(b"transfer-encoding")
    length: int | None = None
    if status < 200 or status in _BODILESS:  # noqa: PLR2004 - interim replies
        coding, length = None, 0
    elif coding is not None:
        if coding.lower() != b"chunked" or b"content-length" in fields or not modern:
            raise ReplyError(f"a body framed by {coding[:40]!r} is not understood")
    elif b"content-length" in fields:
        text_length = fields[b"content-length"]
        if not _DIGITS.fullmatch(text_length) or int(text_length) > MAX_BODY_BYTES:
            raise ReplyError(f"a body of {text_length[:40]!r} bytes, the limit is {MAX_BODY_BYTES:,}")
        length = int(text_length)
    else:
        keep_alive = False
    explain = fields.get(b"x-nginx-pushstream-explain")
    return _Head(
        status=status,
        keep_alive=keep_alive,
        explain=None if explain is None else explain.decode("latin-1")[:200],
        length=length,
        chunked=coding is not None,
    )
