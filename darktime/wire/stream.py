"""Reads an EventSource reply: its head, then its events, chunked or until the connection closes. Pure."""

from __future__ import annotations

from darktime.wire.chunked import ChunkedDecoder
from darktime.wire.errors import WireError
from darktime.wire.eventsource import MAX_EVENT, EventReader, ServerEvent
from darktime.wire.head import MAX_HEAD, Head, head_end, parse_head


class StreamReader:
    """One a connection, for one reply.

    ``head`` is None until it has arrived. ``is_stream`` says whether it is what a browser would open: 200 and
    text/event-stream; the body of any other reply is read for its length and gives no events. ``done``: the reply has
    ended by its own framing. ``events`` (the EventReader) holds last_event_id, retry_ms and the count of comments.
    """

    __slots__ = ("_buffer", "_chunks", "_left", "body_bytes", "done", "events", "head", "is_stream", "max_head")

    def __init__(self, *, max_head: int = MAX_HEAD, max_event: int = MAX_EVENT) -> None:
        self.max_head = max_head
        self.head: Head | None = None
        self.is_stream = False
        self.done = False
        self.body_bytes = 0
        self.events = EventReader(max_event=max_event)
        self._buffer = b""
        self._chunks: ChunkedDecoder | None = None
        self._left: int | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[ServerEvent]:
        """Take bytes as they arrived; give the events they complete. Raises WireError."""
        body = self.body(data)
        return self.events.feed(body) if body and self.is_stream else []

    def body(self, data: bytes | bytearray | memoryview) -> bytes:
        """As ``feed``, for who reads the events himself: the body's bytes, without head and framing.

        Raises WireError.
        """
        raw = bytes(data)
        if self.head is None:
            raw = self._take_head(raw)
        if self.head is None or not raw:
            return b""
        body = self._unframed(raw)
        self.body_bytes += len(body)
        return body

    def eof(self) -> bool:
        """The peer has closed.

        True when the reply was whole (streams until close always are), False when it was cut off.
        """
        return self.head is not None and (self.done or self.head.until_close)

    def _take_head(self, data: bytes) -> bytes:
        buffer = self._buffer + data
        while self.head is None:
            end = head_end(buffer)
            if end < 0 or end > self.max_head:
                if len(buffer) > self.max_head:
                    raise WireError(f"a head of more than {self.max_head} bytes: {buffer[:80]!r}")
                if not b"HTTP/".startswith(buffer[:5]):
                    raise WireError(f"expected HTTP/1.1, read {buffer[:80]!r}")
                self._buffer = buffer
                return b""
            self.head = parse_head(buffer[:end])
            buffer = buffer[end:]
        self._buffer = b""
        content_type = (self.head.header(b"content-type") or b"").split(b";")[0].strip().lower()
        self.is_stream = self.head.status == 200 and content_type == b"text/event-stream"  # noqa: PLR2004
        self._chunks = ChunkedDecoder() if self.head.chunked else None
        self._left = self.head.length
        self.done = self._left == 0
        return buffer

    def _unframed(self, raw: bytes) -> bytes:
        if self.done:
            raise WireError(f"expected nothing behind the end of the reply, read {raw[:80]!r}")
        if self._chunks is not None:
            pieces = self._chunks.feed(raw)
            self.done = self._chunks.done
            # Chunks are often one event each: joined, the reader splits lines once.
            return b"".join(pieces)
        if self._left is not None:
            raw = raw[: self._left]
            self._left -= len(raw)
            self.done = self._left == 0
        return raw
