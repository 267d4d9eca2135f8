"""Streams that begin with a request and end by themselves, as chat completions and MCP servers send them, timed.

It is offered like a pool of requests, since each stream is the reply to one: planned, sent, and ended. Beside what a
request has, a stream has a time to its first event, times between its events, and an end that is whole or not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from darktime.blast.connection import BUSY, IDLE, Connection
from darktime.blast.deliveries import Deliveries
from darktime.blast.requests import RECEIVE_BYTES, RequestPool
from darktime.blast.sums import add
from darktime.blast.token_reader import TokenReader
from darktime.wire.errors import WireError
from darktime.wire.head import MAX_HEAD, head_end, parse_head
from darktime.wire.poller import IN
from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from darktime.blast.cohort import Batch, Cohort
    from darktime.blast.settings import Address
    from darktime.blast.sources import Source
    from darktime.wire.head import Head

CHECK_SHARE = 0.01
_OK = 200


class _TokenConnection(Connection):
    __slots__ = ("exact", "exact_events", "head", "heard", "stream")

    def __init__(self, raw: _socket.socket) -> None:
        super().__init__(raw)
        self.head = b""  # as much of it as has arrived
        self.stream: TokenReader | None = None  # once the head has
        self.exact: StreamReader | None = None  # on a sample
        self.exact_events = 0
        self.heard = 0.0  # when something of the reply arrived last; 0 before anything has


class TokenStreams(RequestPool):
    """``size`` streams at once at most.

    ``timeout_s``: how long a stream may say nothing. ``end_marker``: the data of its last event (``[DONE]``), where it
    promises one: a stream without it was cut off. ``first_event_limit_s`` and ``between_limit_s`` say what a good stream
    is: whole, with every event in time. In ``counts`` a stream that was not whole is a failed request, and latency runs
    from the planned time to its end.
    """

    def __init__(
        self,
        cohort: Cohort,
        address: Address,
        source: Source,
        *,
        size: int,
        timeout_s: float,
        end_marker: bytes | None = None,
        first_event_limit_s: float | None = None,
        between_limit_s: float | None = None,
        check_share: float = CHECK_SHARE,
        source_ips: Sequence[str] = (),
        connects_per_s: float | None = None,
    ) -> None:
        super().__init__(
            cohort,
            address,
            source,
            size=size,
            timeout_s=timeout_s,
            source_ips=source_ips,
            connects_per_s=connects_per_s,
        )
        self.deliveries = Deliveries()
        self._end_marker = end_marker
        self._first_event_limit_s = first_event_limit_s
        self._between_limit_s = between_limit_s
        self._check_every = max(round(1 / check_share), 1) if check_share > 0 else 0
        self._begun = 0
        self._first_events: list[float] = []
        self._between: list[float] = []

    def take_deliveries(self) -> Deliveries:
        """What was counted of the streams' events since the last time."""
        taken, self.deliveries = self.deliveries, Deliveries()
        taken.first_event.add_seconds(self._first_events)
        taken.between.add_seconds(self._between)
        self._first_events, self._between = [], []
        return taken

    def ready(self, batch: Batch) -> None:
        """Read what has arrived, and begin what may."""
        connections = self._opener.by_fd
        for fd, mask in batch:
            connection = connections.get(fd)
            if connection is None:
                continue
            if mask != IN or connection.state != BUSY:
                self._ready(connection, mask)
                continue
            try:
                received = connection.recv(RECEIVE_BYTES)
            except OSError as error:
                self._unreadable(connection, error)
                continue
            self._received(connection, received)

    def connection(self, raw: _socket.socket) -> Connection:
        """One that reads streams."""
        return _TokenConnection(raw)

    def _received(self, connection: Connection, received: bytes) -> None:
        assert isinstance(connection, _TokenConnection)
        if not received or connection.state != BUSY:
            super()._received(connection, received)
            return
        now = time.monotonic()
        if not connection.heard:
            self._begin(connection)
        connection.heard = now
        self.counts.bytes += len(received)
        self.deliveries.bytes += len(received)
        self.deliveries.reads += 1
        self.deliveries.backlog_reads += len(received) == RECEIVE_BYTES
        try:
            if connection.exact is not None:
                events = connection.exact.feed(received)
                marker = self._end_marker
                connection.exact_events += sum(marker is None or event.data.encode() != marker for event in events)
            self._read(connection, received, now)
        except WireError:
            self._lost(connection, "not_http")

    def _begin(self, connection: _TokenConnection) -> None:
        """The first bytes of a reply."""
        connection.head = b""
        connection.stream = None
        connection.exact_events = 0
        checked = self._check_every and self._begun % self._check_every == 0
        connection.exact = StreamReader() if checked else None
        self._begun += 1

    def _read(self, connection: _TokenConnection, received: bytes, now: float) -> None:
        stream = connection.stream
        if stream is None:
            found = self._head(connection, received)
            if found is None:
                return
            stream, received = found
        if received:
            first = stream.first_at is None
            if stream.feed(received, now) and first:
                self._first_events.append(now - connection.planned)
        if stream.ended:
            self._stream_over(connection, stream, closed=False)

    def _head(self, connection: _TokenConnection, received: bytes) -> tuple[TokenReader, bytes] | None:
        buffer = connection.head + received
        head: Head | None = None
        while head is None:
            end = head_end(buffer)
            if end < 0 or end > MAX_HEAD:
                if len(buffer) > MAX_HEAD or not b"HTTP/".startswith(buffer[:5]):
                    raise WireError(f"expected the head of a stream, read {buffer[:80]!r}")
                connection.head = buffer
                return None
            head = parse_head(buffer[:end])
            buffer = buffer[end:]
        kind = (head.header(b"content-type") or b"").split(b";")[0].strip().lower()
        encoding = (head.header(b"content-encoding") or b"identity").lower()
        add(self.counts.statuses, str(head.status))
        if head.status != _OK:
            self._refuse(connection, f"status_{head.status // 100}xx")
            return None
        if kind != b"text/event-stream" or encoding != b"identity":
            self._refuse(connection, "not_a_stream")
            return None
        self.deliveries.streams_opened += 1
        connection.stream = TokenReader(head, self._end_marker)
        return connection.stream, buffer

    def _refuse(self, connection: _TokenConnection, reason: str) -> None:
        """The rest of what was said instead is not read: the connection is closed."""
        self.deliveries.streams_refused += 1
        self._lost(connection, reason)

    def _ended(self, connection: Connection) -> None:
        assert isinstance(connection, _TokenConnection)
        if connection.state == BUSY and connection.stream is not None:
            self._stream_over(connection, connection.stream, closed=True)
        else:
            super()._ended(connection)

    def _stream_over(self, connection: _TokenConnection, stream: TokenReader, *, closed: bool) -> None:
        if not stream.whole(closed=closed):
            self._lost(connection, "cut_off")
            return
        heard, connection.heard = connection.heard, 0.0
        connection.stream = None
        self._count_events(connection, stream)
        deliveries = self.deliveries
        deliveries.completed += 1
        deliveries.events_a_stream.add(stream.events)
        deliveries.good += self._is_good(connection, stream)
        self.in_flight -= 1
        self.counts.requests += 1
        self._spans.latencies.append(heard - connection.planned)
        self._spans.services.append(heard - connection.sent)
        self._source.ended(connection.number, ok=True)
        connection.state = IDLE
        if stream.keep_alive and not closed:
            self._free(connection)
        else:
            self._opener.close(connection)
            self._next()

    def _is_good(self, connection: _TokenConnection, stream: TokenReader) -> bool:
        first, between = self._first_event_limit_s, self._between_limit_s
        if stream.first_at is None:
            return False
        if first is not None and stream.first_at - connection.planned > first:
            return False
        return between is None or not stream.between_s or max(stream.between_s) <= between

    def _count_events(self, connection: _TokenConnection, stream: TokenReader) -> None:
        deliveries = self.deliveries
        deliveries.delivered += stream.events
        deliveries.comments += stream.comments
        self._between += stream.between_s
        if connection.exact is not None:
            deliveries.checked += connection.exact_events
            deliveries.differed += abs(connection.exact_events - stream.events)

    def _fail(self, connection: Connection, reason: str) -> None:
        assert isinstance(connection, _TokenConnection)
        stream = connection.stream
        if stream is not None and stream.marked:  # all was said; only the end of the reply is missing
            self._stream_over(connection, stream, closed=True)
            return
        self.deliveries.streams_ended += 1
        add(self.deliveries.reasons, reason)
        if stream is not None:
            self.deliveries.cut_off += 1
            self._count_events(connection, stream)
        super()._fail(connection, reason)

    def _goes_on(self, connection: Connection, oldest: float) -> bool:
        # Unlike a reply, a stream may take as long as it likes, if only it goes on.
        assert isinstance(connection, _TokenConnection)
        return connection.heard >= oldest
