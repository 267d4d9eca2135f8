"""A pool of connections that send preformatted requests and time the replies.

Open model: ``submit`` takes the planned time; a request that finds every connection busy waits, and its latency
counts from the planned time all the same. Closed model: every connection sends again when it has its reply.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from darktime.blast.counts import Counts
from darktime.blast.sockets import OURS, connect, pending_error, reason_of
from darktime.wire.errors import WireError
from darktime.wire.head import parse_head
from darktime.wire.http1 import ResponseReader
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    import _socket

    from darktime.blast.cohort import Cohort
    from darktime.blast.settings import Address

MAX_WAITING = 100_000
RECEIVE_BYTES = 65_536
RECONNECT_AFTER_S = 0.1
_MAX_KNOWN = 1024
_CONNECTING, _IDLE, _BUSY = range(3)


class Source(Protocol):
    """Where requests come from."""

    def next(self, planned_s: float) -> tuple[bytes, int]:
        """The bytes of a request and a number to know it again by."""

    def ended(self, number: int, *, ok: bool) -> None:
        """The request of that number was answered (``ok``: below 400), or failed."""


class Fixed:
    """The same request every time."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    def next(self, planned_s: float) -> tuple[bytes, int]:  # noqa: ARG002 - part of the protocol
        """The request."""
        return self._request, 0

    def ended(self, number: int, *, ok: bool) -> None:
        """Nothing to remember."""


def get(address: Address, path: str) -> bytes:
    """A GET request, preformatted."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: darkesttime\r\nAccept: */*\r\n"
        f"X-Darktime: 1\r\n\r\n"
    ).encode("ascii")


class _Connection:
    __slots__ = ("fd", "number", "planned", "raw", "reader", "sent", "state", "unsent")

    def __init__(self, raw: _socket.socket) -> None:
        self.raw = raw
        self.fd = raw.fileno()
        self.state = _CONNECTING
        self.reader: ResponseReader | None = None
        self.unsent = b""
        self.planned = 0.0
        self.sent = time.monotonic()
        self.number = 0


class RequestPool:
    """``size`` connections to one address. ``counts`` grows; ``take`` hands it on and begins anew."""

    def __init__(
        self, cohort: Cohort, address: Address, source: Source, *, size: int, timeout_s: float, closed: bool = False
    ) -> None:
        self.counts = Counts()
        self.closed_model = closed
        self._cohort = cohort
        self._address = address
        self._source = source
        self._size = size
        self._timeout_s = timeout_s
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._known: dict[bytes, tuple[int, int]] = {}  # head of a common reply -> status, length of its body
        self._reopen_at: deque[float] = deque()
        self.in_flight = 0
        cohort.chores.append(self._chores)

    @property
    def open_connections(self) -> int:
        """Connections that stand."""
        return sum(connection.state != _CONNECTING for connection in self._connections.values())

    @property
    def waiting(self) -> int:
        """Requests that are due and have found no free connection yet."""
        return len(self._waiting)

    def open(self) -> None:
        """Begin to connect all that are missing."""
        self._reopen_at.clear()
        for _ in range(self._size - len(self._connections)):
            self._connect()

    def submit(self, planned: float) -> bool:
        """Send the request that was planned for ``planned`` (monotonic seconds) now, or when a connection is free.

        False: too many wait already, this one is not taken.
        """
        if self._idle and not self._waiting:
            self._send(self._idle.pop(), planned, on_time=True)
            return True
        if len(self._waiting) >= MAX_WAITING:
            return False
        self.counts.waited += 1
        self._waiting.append(planned)
        return True

    def start_closed(self) -> None:
        """Closed model: let every free connection send."""
        now = time.monotonic()
        while self._idle:
            self._send(self._idle.pop(), now, on_time=True)

    def drop_waiting(self) -> int:
        """Forget the requests that wait; how many they were. None of them was sent."""
        dropped = len(self._waiting)
        self._waiting.clear()
        return dropped

    def abandon(self, reason: str) -> int:
        """Count every request in flight as failed for ``reason`` and close its connection; how many they were."""
        busy = [connection for connection in self._connections.values() if connection.state == _BUSY]
        for connection in busy:
            self._fail(connection, reason)
        return len(busy)

    def take(self) -> Counts:
        """What was counted since the last time."""
        taken, self.counts = self.counts, Counts()
        return taken

    def close(self) -> None:
        """Close every connection; what is in flight is not counted any more."""
        if self._chores in self._cohort.chores:
            self._cohort.chores.remove(self._chores)
        for connection in list(self._connections.values()):
            self._close(connection)
        self._idle.clear()
        self._waiting.clear()
        self.in_flight = 0

    def _connect(self) -> None:
        try:
            raw = connect(self._address)
        except OSError as error:
            if error.errno in OURS:
                self.counts.errors_of_ours += 1
            self._connect_failed(reason_of(error.errno))
            return
        connection = _Connection(raw)
        self._connections[connection.fd] = connection
        self._cohort.register(connection.fd, OUT, lambda mask: self._ready(connection, mask))

    def _connect_failed(self, reason: str) -> None:
        self.counts.connect_errors += 1
        self._reopen_at.append(time.monotonic() + RECONNECT_AFTER_S)
        if self._waiting:  # the request that would have used it fails with it
            self._waiting.popleft()
            self.counts.fail(reason)

    def _ready(self, connection: _Connection, mask: int) -> None:
        if connection.state == _CONNECTING:
            self._connected(connection)
            return
        if connection.unsent and mask & OUT:
            self._flush(connection)
        if not mask & ~OUT:
            return
        try:
            received = connection.raw.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, reason_of(error.errno))
            return
        if not received:
            self._ended(connection)
            return
        self.counts.bytes += len(received)
        if connection.state == _IDLE:
            self._close(connection)
            self._connect()
            return
        self._read(connection, received)

    def _connected(self, connection: _Connection) -> None:
        number = pending_error(connection.raw)
        if number:
            self._close(connection)
            self._connect_failed(reason_of(number))
            return
        self._cohort.poller.modify(connection.fd, IN)
        self._free(connection)

    def _free(self, connection: _Connection) -> None:
        connection.state = _IDLE
        if self._waiting:
            self._send(connection, self._waiting.popleft(), on_time=False)
        elif self.closed_model:
            self._send(connection, time.monotonic(), on_time=True)
        else:
            self._idle.append(connection)

    def _send(self, connection: _Connection, planned: float, *, on_time: bool) -> None:
        request, connection.number = self._source.next(planned)
        now = time.monotonic()
        connection.planned, connection.sent = planned, now
        connection.state = _BUSY
        self.in_flight += 1
        if on_time:
            self.counts.send_lag.add(max(int((now - planned) * 1e6), 0))
        try:
            sent = connection.raw.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(connection, reason_of(error.errno))
            return
        if sent < len(request):
            connection.unsent = request[sent:]
            self._cohort.poller.modify(connection.fd, IN | OUT)

    def _flush(self, connection: _Connection) -> None:
        try:
            sent = connection.raw.send(connection.unsent)
        except OSError:
            return  # the reading side tells how it ended
        connection.unsent = connection.unsent[sent:]
        if not connection.unsent:
            self._cohort.poller.modify(connection.fd, IN)

    def _read(self, connection: _Connection, received: bytes) -> None:
        reader = connection.reader
        if reader is None:
            end = received.find(b"\r\n\r\n") + 4
            known = self._known.get(received[:end])
            if known is not None and len(received) == end + known[1]:
                self._done(connection, known[0], keep_alive=True)
                return
            self._remember(received[:end])
            reader = connection.reader = ResponseReader(max_body=0)
        try:
            replies = reader.feed(received)
        except WireError:
            self._lost(connection, "not_http")
            return
        if len(replies) > 1:
            self._lost(connection, "unexpected_reply")
        elif replies:
            connection.reader = None
            self._done(connection, replies[0].status, keep_alive=replies[0].keep_alive)

    def _remember(self, raw: bytes) -> None:
        try:
            head = parse_head(raw) if raw.endswith(b"\r\n\r\n") else None
        except WireError:
            return  # the reader says so where it is counted
        if head is not None and head.length is not None and head.keep_alive:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[raw] = (head.status, head.length)

    def _done(self, connection: _Connection, status: int, *, keep_alive: bool) -> None:
        now = time.monotonic()
        counts = self.counts
        self.in_flight -= 1
        ok = status < 400  # noqa: PLR2004
        if ok:
            counts.requests += 1
        else:
            counts.fail(f"status_{status // 100}xx")
        counts.latency.add(int((now - connection.planned) * 1e6))
        counts.service.add(int((now - connection.sent) * 1e6))
        self._source.ended(connection.number, ok=ok)
        connection.state = _IDLE
        if keep_alive:
            self._free(connection)
        else:
            self._close(connection)
            self._connect()

    def _ended(self, connection: _Connection) -> None:
        if connection.state == _BUSY and connection.reader is not None:
            try:
                reply = connection.reader.eof()
            except WireError:
                reply = None
            if reply is not None:
                self._done(connection, reply.status, keep_alive=False)
                return
        self._lost(connection, "closed")

    def _lost(self, connection: _Connection, reason: str) -> None:
        if connection.state == _BUSY:
            self._fail(connection, reason)
        else:
            self._close(connection)
            self._connect()

    def _fail(self, connection: _Connection, reason: str) -> None:
        self.in_flight -= 1
        self.counts.fail(reason)
        self.counts.latency.add(int((time.monotonic() - connection.planned) * 1e6))
        self._source.ended(connection.number, ok=False)
        self._close(connection)
        self._connect()

    def _close(self, connection: _Connection) -> None:
        self._cohort.unregister(connection.fd)
        self._connections.pop(connection.fd, None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.state = _CONNECTING
        connection.raw.close()

    def _chores(self) -> None:
        now = time.monotonic()
        oldest = now - self._timeout_s
        for connection in list(self._connections.values()):
            if connection.sent < oldest and connection.state == _BUSY:
                self._fail(connection, "timeout")
            elif connection.sent < oldest and connection.state == _CONNECTING:
                self._close(connection)
                self._connect_failed("connect_timeout")
        while self._waiting and self._waiting[0] < oldest:
            planned = self._waiting.popleft()
            self.counts.fail("timeout")
            self.counts.latency.add(int((now - planned) * 1e6))
        while self._reopen_at and self._reopen_at[0] <= now:
            self._reopen_at.popleft()
            if len(self._connections) < self._size:
                self._connect()
