"""Reads the replies of one HTTP/1.1 connection, pipelined or not, split anywhere. Pure: bytes in, replies out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from darktime.wire.chunked import ChunkedDecoder
from darktime.wire.errors import WireError
from darktime.wire.head import MAX_HEAD, Head, head_end, parse_head

MAX_BODY = 1_048_576


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply. ``length`` counts the whole body; ``body`` is its beginning, up to the reader's limit."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    length: int
    body: bytes
    keep_alive: bool


class ResponseReader:
    """One a connection.

    ``max_head``: bytes a head may have. ``max_body``: bytes of a body that are kept; longer ones are counted to the
    end. ``head`` is the head of the reply that is still coming, None between replies. After a reply that is not
    ``keep_alive`` the reader takes no more bytes: what a peer sends behind it raises.
    """

    __slots__ = (
        "_body", "_buffer", "_chunks", "_closed", "_kept", "_left", "_length", "_methods", "_searched",
        "head", "max_body", "max_head",
    )  # fmt: skip

    def __init__(self, *, max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> None:
        self.max_head = max_head
        self.max_body = max_body
        self.head: Head | None = None
        self._methods: deque[bytes] = deque()
        self._closed = False
        self._buffer = b""  # bytes of a head that has not arrived whole
        self._searched = 0
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self._body: list[bytes] = []
        self._kept = 0
        self._length = 0

    @property
    def between(self) -> bool:
        """Whether nothing has come of a reply that is not whole."""
        return self.head is None and not self._buffer

    def expect(self, method: bytes) -> None:
        """Say the method of a request as it is sent.

        Call it for every request of a connection, or (all but HEAD) for none.
        """
        self._methods.append(method)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Reply]:
        """Take bytes as they arrived; give the replies they complete. Raises WireError."""
        replies: list[Reply] = []
        rest: bytes | None = bytes(data)
        while rest:
            rest = self._take_head(rest, replies) if self.head is None else self._take_body(self.head, rest, replies)
        return replies

    def eof(self) -> Reply | None:
        """The peer has closed: a reply that runs until then ends here; None between replies; WireError within one."""
        head = self.head
        if head is None:
            if self._buffer:
                raise WireError(f"the connection ended within the head of a reply: {self._buffer[:80]!r}")
            return None
        if not head.until_close:
            raise WireError(f"the connection ended after {self._length} bytes of the body of a {head.status} reply")
        return self._finish(head)

    def _take_head(self, data: bytes, replies: list[Reply]) -> bytes | None:
        if self._closed:
            raise WireError(f"expected the end of the connection, read {data[:80]!r}")
        buffer = self._buffer + data if self._buffer else data
        end = head_end(buffer, max(self._searched - 3, 0))
        if end < 0 or end > self.max_head:
            if len(buffer) > self.max_head or end > self.max_head:
                raise WireError(f"a head of more than {self.max_head} bytes: {buffer[:80]!r}")
            if not b"HTTP/".startswith(buffer[:5]):
                raise WireError(f"expected HTTP/1.1, read {buffer[:80]!r}")
            self._buffer = buffer
            self._searched = len(buffer)
            return None
        self._buffer = b""
        self._searched = 0
        head = parse_head(buffer[:end], to_head=bool(self._methods) and self._methods[0] == b"HEAD")
        if head is None:  # 1xx: the real one follows
            return buffer[end:]
        if head.length is not None:
            stop = end + head.length
            if stop <= len(buffer):  # the whole reply is here: the common case
                kept = buffer[end : min(stop, end + self.max_body)]
                replies.append(self._reply(head, head.length, kept))
                return buffer[stop:]
            self._left = head.length
        elif head.chunked:
            self._chunks = ChunkedDecoder()
        self.head = head
        return buffer[end:]

    def _take_body(self, head: Head, data: bytes, replies: list[Reply]) -> bytes | None:
        if self._chunks is not None:
            for piece in self._chunks.feed(data):
                self._keep(piece)
            if not self._chunks.done:
                return None
            rest = self._chunks.rest
            self._chunks = None
            replies.append(self._finish(head))
            return rest
        if head.until_close:
            self._keep(data)
            return None
        piece = data[: self._left]
        self._keep(piece)
        self._left -= len(piece)
        if self._left:
            return None
        replies.append(self._finish(head))
        return data[len(piece) :]

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._kept < self.max_body:
            piece = piece[: self.max_body - self._kept]
            self._kept += len(piece)
            self._body.append(piece)

    def _finish(self, head: Head) -> Reply:
        reply = self._reply(head, self._length, b"".join(self._body))
        self.head = None
        self._body = []
        self._kept = self._length = 0
        return reply

    def _reply(self, head: Head, length: int, body: bytes) -> Reply:
        if self._methods:
            self._methods.popleft()
        self._closed = not head.keep_alive
        return Reply(head.status, head.headers, length, body, head.keep_alive)
