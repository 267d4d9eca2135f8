"""A pool of connections that send preformatted requests and time the replies.

Open model: ``submit`` takes the planned time; a request that finds every connection busy waits, and its latency
counts from the planned time all the same. Closed model: every connection sends again when it has its reply.

``ready`` is the hot path: per reply one read, one comparison, one look at the clock, one send. A reply that equals the
one before is not parsed again; one whose head is known is found by its length; every other goes through the reader.
Times are collected in plain lists and counted in bulk once a second.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import cycle
from typing import TYPE_CHECKING

from darktime.blast.counts import Counts
from darktime.blast.histogram import Histogram
from darktime.blast.sockets import OURS, connect, late_reason, reason_of, stands
from darktime.blast.sums import add
from darktime.wire.errors import WireError
from darktime.wire.head import common_head
from darktime.wire.http1 import ResponseReader
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from darktime.blast.cohort import Batch, Cohort
    from darktime.blast.settings import Address
    from darktime.blast.sources import Source
    from darktime.wire.http1 import Reply

MAX_WAITING = 100_000
RECEIVE_BYTES = 65_536
RECONNECT_AFTER_S = 0.1
# Connections under way at once: half of the usual backlog, so that a pool that opens is no storm.
MAX_CONNECTING = 1024
# Handshakes under way at once: more would wait for each other's processor time, beyond their timeout.
MAX_SHAKING = 128
MAX_REDIRECTS = 5
TLS_ALERT = b"\x15\x03"  # how a TLS port answers who speaks plain HTTP to it
_MAX_KNOWN = 1024
_CONNECTING, _IDLE, _BUSY, _CLOSED = range(4)
UNAVAILABLE = 503
_OK_BELOW = 400
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _Connection:
    __slots__ = (
        "fd",
        "hops",
        "number",
        "planned",
        "raw",
        "reader",
        "recv",
        "request",
        "send",
        "sent",
        "served",
        "state",
        "unsent",
    )

    def __init__(self, raw: _socket.socket) -> None:
        self.raw = raw
        self.fd = raw.fileno()
        self.recv = raw.recv
        self.send = raw.send
        self.state = _CONNECTING
        self.reader: ResponseReader | None = None
        self.unsent = b""
        self.planned = 0.0
        self.sent = time.monotonic()
        self.number = 0
        self.hops = 0
        self.served = False  # it has had a reply that was no refusal
        self.request = b""  # kept where redirects are followed


class RequestPool:
    """``size`` connections to one address. ``counts`` grows; ``take`` hands it on and begins anew.

    ``fresh``: every request gets a connection of its own, opened when it is due. ``follow``: redirects to the same host
    are followed, within the latency of the request that met them. ``source_ips``: where connections come from, in turn.
    """

    def __init__(
        self,
        cohort: Cohort,
        address: Address,
        source: Source,
        *,
        size: int,
        timeout_s: float,
        fresh: bool = False,
        follow: bool = False,
        source_ips: Sequence[str] = (),
    ) -> None:
        self.counts = Counts()
        self.closed_model = False
        self.in_flight = 0
        self._cohort = cohort
        self._address = address
        self._source = source
        self._fixed = source.fixed
        self._size = size
        self._timeout_s = timeout_s
        self._fresh = fresh
        self._follow = follow
        self._origins = tuple(origin.encode("latin-1") for origin in address.origins)
        self._source_ips = cycle(source_ips) if source_ips else None
        self._connections: dict[int, _Connection] = {}
        self._connecting = 0
        self._max_connecting = MAX_SHAKING if address.tls else MAX_CONNECTING
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._known: dict[bytes, tuple[int, int]] = {}  # head of a common reply -> status, length of its body
        self._last_reply, self._last_status = b"", 0
        self._reopen_at: deque[float] = deque()
        self._latencies: list[float] = []
        self._services: list[float] = []
        self._lags: list[float] = []
        self._prompt: list[float] = []  # of requests that were sent when they were planned: both times in one
        cohort.chores.append(self._chores)

    @property
    def open_connections(self) -> int:
        """Connections that stand."""
        return len(self._connections) - self._connecting

    @property
    def served_connections(self) -> int:
        """Connections that stand and have had a reply."""
        return sum(connection.served for connection in self._connections.values())

    @property
    def waiting(self) -> int:
        """Requests that are due and have found no free connection yet."""
        return len(self._waiting)

    @property
    def standing(self) -> bool:
        """As many connections stand as are wanted before the first request."""
        return self._fresh or self.open_connections >= self._size

    @property
    def ended(self) -> tuple[int, int]:
        """Requests that ended since the last ``take``, and how many of them failed."""
        return self.counts.requests, self.counts.failures

    def open(self) -> None:
        """Begin to connect all that are missing, some at a time."""
        self._reopen_at.clear()
        self._open_more()

    def submit(self, planned: float) -> bool:
        """Send the request that was planned for ``planned`` (monotonic seconds) now, or when a connection is free.

        False: too many wait already, this one is not taken.
        """
        if not self._waiting and (connection := self._next_idle()) is not None:
            self._send(connection, planned, on_time=True)
            return True
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(planned)
        if self._fresh and len(self._connections) < self._size:
            self._connect()
        else:
            self.counts.waited += 1
        return True

    def start_closed(self) -> None:
        """Closed model: let every free connection send."""
        now = time.monotonic()
        while (connection := self._next_idle()) is not None:
            self._send(connection, now, on_time=True)
        while self._fresh and len(self._connections) < self._size:
            self._waiting.append(now)
            self._connect()

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
        taken.latency.add_seconds(self._latencies)
        taken.service.add_seconds(self._services)
        taken.send_lag.add_seconds(self._lags)
        both = Histogram()
        both.add_seconds(self._prompt)
        taken.latency.merge(both)
        taken.service.merge(both)
        if self.closed_model and both.count:
            taken.send_lag.add(0, both.count)
        self._latencies, self._services, self._lags, self._prompt = [], [], [], []
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

    def ready(self, batch: Batch) -> None:  # noqa: C901, PLR0912, PLR0915 - the hot path: one frame, local names
        """Read what has arrived, and send what may go."""
        connections, known, clock = self._connections, self._known, time.monotonic
        fixed, closed, waiting, idle = self._fixed, self.closed_model, self._waiting, self._idle
        fresh = self._fresh  # its connections end with their reply: the general way does that
        latencies, services, prompt = self._latencies, self._services, self._prompt
        last_reply, last_status, follow = self._last_reply, self._last_status, self._follow
        quick = 0  # replies of ``last_status`` that are not counted yet
        received_bytes = 0
        for fd, mask in batch:
            connection = connections.get(fd)
            if connection is None:  # closed by another of this batch
                continue
            if fresh or mask != IN or connection.state != _BUSY or connection.reader is not None:
                self._ready(connection, mask)
                continue
            try:
                received = connection.recv(RECEIVE_BYTES)
            except OSError as error:
                self._unreadable(connection, error)
                continue
            if received != last_reply or not received:
                status = self._quick_status(received, known)
                if not status:
                    self._received(connection, received)
                    continue
                if status != last_status:
                    self._count(last_status, quick)
                    quick = 0
                last_reply, last_status = received, status
            now = clock()
            quick += 1
            received_bytes += len(received)
            planned, connection.served = connection.planned, True
            if planned == connection.sent:
                prompt.append(now - planned)
            else:
                latencies.append(now - planned)
                services.append(now - connection.sent)
            if fixed is None:
                self._source.ended(connection.number, ok=last_status < _OK_BELOW)
            if waiting:
                planned = waiting.popleft()
            elif closed:
                planned = now
            else:
                connection.state = _IDLE
                self.in_flight -= 1
                idle.append(connection)
                continue
            if fixed is None:
                request, connection.number = self._source.next(planned)
            else:
                request = fixed
            connection.planned, connection.sent = planned, now
            if follow:
                connection.request, connection.hops = request, 0
            try:
                sent = connection.send(request)
            except OSError as error:
                self._unsendable(connection, request, error)
                continue
            if sent != len(request):
                self._sent_in_part(connection, request, sent)
        self._count(last_status, quick)
        self.counts.bytes += received_bytes
        self._last_reply, self._last_status = last_reply, last_status

    def _count(self, status: int, replies: int) -> None:
        if not replies:
            return
        counts = self.counts
        counts.requests += replies
        add(counts.statuses, str(status), replies)
        if status >= _OK_BELOW:
            counts.failures += replies
            add(counts.reasons, f"status_{status // 100}xx", replies)

    def _quick_status(self, received: bytes, known: dict[bytes, tuple[int, int]]) -> int:
        """The status of a whole, common reply that is all that was received; else 0."""
        end = received.find(b"\r\n\r\n") + 4
        head = received[:end]
        found = known.get(head)
        if found is None:
            common = common_head(head)
            if common is None:
                return 0
            found = (common[0], common[1])
            if len(known) >= _MAX_KNOWN:  # heads that differ every time are not worth remembering
                known.clear()
            known[head] = found
        status, length = found
        if len(received) != end + length or (self._follow and status in _REDIRECTS):
            return 0
        return status

    def _open_more(self) -> None:
        if self._fresh:
            return
        missing = self._size - len(self._connections) - len(self._reopen_at)
        for _ in range(min(missing, self._max_connecting - self._connecting)):
            self._connect()

    def _connect(self) -> None:
        try:
            raw = connect(self._address, next(self._source_ips) if self._source_ips else None)
        except OSError as error:
            if error.errno in OURS:
                self.counts.errors_of_ours += 1
            self._connect_failed(reason_of(error.errno))
            return
        connection = self._connection(raw)
        self._connecting += 1
        self._connections[connection.fd] = connection
        self._cohort.register(connection.fd, OUT, self)

    def _connection(self, raw: _socket.socket) -> _Connection:
        return _Connection(raw)

    def _connect_failed(self, reason: str) -> None:
        self.counts.connect_errors += 1
        add(self.counts.turned_away, reason)
        if not self._fresh:
            self._reopen_at.append(time.monotonic() + RECONNECT_AFTER_S)
        if self._waiting:  # the request that would have used it fails with it
            planned = self._waiting.popleft()
            self.counts.fail(reason)
            self._latencies.append(time.monotonic() - planned)

    def _ready(self, connection: _Connection, mask: int) -> None:
        """The ways that are not taken at every request."""
        if connection.state == _CONNECTING:
            self._connected(connection)
            return
        if connection.unsent and mask & OUT:
            self._flush(connection)
        if not mask & ~OUT:
            return
        try:
            received = connection.recv(RECEIVE_BYTES)
        except OSError as error:
            self._unreadable(connection, error)
            return
        self._received(connection, received)

    def _received(self, connection: _Connection, received: bytes) -> None:
        if not received:
            self._ended(connection)
            return
        self.counts.bytes += len(received)
        if len(received) == RECEIVE_BYTES:
            self.counts.backlog_reads += 1
        if connection.state != _BUSY:  # a reply to nothing
            self._close(connection)
            self._open_more()
            return
        reader = connection.reader
        if reader is None:
            reader = connection.reader = ResponseReader(max_body=0)
        try:
            replies = reader.feed(received)
        except WireError:
            self._lost(connection, "speaks_tls" if received.startswith(TLS_ALERT) else "not_http")
            return
        if len(replies) > 1:
            self._lost(connection, "unexpected_reply")
        elif replies:
            connection.reader = None
            self._replied(connection, replies[0])

    def _unreadable(self, connection: _Connection, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._lost(connection, reason_of(error.errno))

    def _connected(self, connection: _Connection) -> None:
        try:
            stood = stands(connection.raw)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(connection)
            self._connect_failed(reason_of(error.errno))
            return
        self._cohort.poller.modify(connection.fd, IN)
        if stood:
            self._stands(connection)

    def _stands(self, connection: _Connection) -> None:
        self._connecting -= 1
        self.counts.connects += 1
        self.counts.connect.add(int((time.monotonic() - connection.sent) * 1e6))
        self._free(connection)
        self._open_more()

    def _free(self, connection: _Connection) -> None:
        connection.state = _IDLE
        if self._waiting:
            self._send(connection, self._waiting.popleft(), on_time=False)
        elif self.closed_model:
            self._send(connection, time.monotonic(), on_time=True)
        else:
            self._idle.append(connection)

    def _next_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.state == _IDLE:  # else it was closed while it stood here
                return connection
        return None

    def _send(self, connection: _Connection, planned: float, *, on_time: bool) -> None:
        if self._fixed is None:
            request, connection.number = self._source.next(planned)
        else:
            request = self._fixed
        now = time.monotonic()
        connection.planned, connection.sent = planned, now
        connection.state = _BUSY
        connection.hops = 0
        if self._follow:
            connection.request = request
        self.in_flight += 1
        if on_time:
            self._lags.append(now - planned if now > planned else 0.0)
        self._write(connection, request)

    def _write(self, connection: _Connection, request: bytes) -> None:
        if request[:5] == b"HEAD ":  # its reply has no body, whatever its head announces
            connection.reader = ResponseReader(max_body=0)
            connection.reader.expect(b"HEAD")
        try:
            sent = connection.send(request)
        except OSError as error:
            self._unsendable(connection, request, error)
            return
        if sent != len(request):
            self._sent_in_part(connection, request, sent)

    def _unsendable(self, connection: _Connection, request: bytes, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._sent_in_part(connection, request, 0)
        else:
            self._lost(connection, reason_of(error.errno))

    def _sent_in_part(self, connection: _Connection, request: bytes, sent: int) -> None:
        self.counts.sends_blocked += 1
        connection.unsent = request[sent:]
        self._cohort.poller.modify(connection.fd, IN | OUT)

    def _flush(self, connection: _Connection) -> None:
        try:
            sent = connection.send(connection.unsent)
        except OSError:
            return  # the reading side tells how it ended
        connection.unsent = connection.unsent[sent:]
        if not connection.unsent:
            self._cohort.poller.modify(connection.fd, IN)

    def _replied(self, connection: _Connection, reply: Reply) -> None:
        if self._follow and reply.status in _REDIRECTS and self._redirected(connection, reply):
            return
        now = time.monotonic()
        self.in_flight -= 1
        self._count(reply.status, 1)
        self._latencies.append(now - connection.planned)
        self._services.append(now - connection.sent)
        self._source.ended(connection.number, ok=reply.status < _OK_BELOW)
        if reply.status != UNAVAILABLE or reply.keep_alive:
            connection.served = True
        elif not connection.served:
            add(self.counts.turned_away, str(reply.status))
        connection.state = _IDLE
        if reply.keep_alive and not self._fresh:
            self._free(connection)
        else:
            self._close(connection)
            self._next()

    def _redirected(self, connection: _Connection, reply: Reply) -> bool:
        location = next((value for name, value in reply.headers if name == b"location"), b"")
        here = next(
            (one for one in self._origins if location.startswith((one + b"/", one + b"?")) or location == one), b""
        )
        path = location.removeprefix(here) or b"/"
        if not reply.keep_alive or not path.startswith(b"/") or connection.hops >= MAX_REDIRECTS:
            return False
        connection.hops += 1
        self.counts.redirects += 1
        _, _, rest = connection.request.partition(b"\r\n")
        head = rest.partition(b"\r\n\r\n")[0]
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-")]
        self._write(connection, b"\r\n".join([b"GET " + path + b" HTTP/1.1", *lines, b"", b""]))
        return True

    def _ended(self, connection: _Connection) -> None:
        if connection.state == _BUSY and connection.reader is not None:
            try:
                reply = connection.reader.eof()
            except WireError:
                reply = None
            if reply is not None:
                self._replied(connection, reply)
                return
        self._lost(connection, "closed")

    def _lost(self, connection: _Connection, reason: str) -> None:
        if not connection.served:
            add(self.counts.turned_away, reason)
        if connection.state == _BUSY:
            self._fail(connection, reason)
        else:
            self._close(connection)
            self._next()

    def _fail(self, connection: _Connection, reason: str) -> None:
        self.in_flight -= 1
        self.counts.fail(reason)
        self._latencies.append(time.monotonic() - connection.planned)
        self._source.ended(connection.number, ok=False)
        self._close(connection)
        self._next()

    def _next(self) -> None:
        """A connection has gone: open what is due."""
        if not self._fresh:
            self._open_more()
        elif self._waiting or self.closed_model:
            if not self._waiting:
                self._waiting.append(time.monotonic())
            self._connect()

    def _close(self, connection: _Connection) -> None:
        self._cohort.unregister(connection.fd)
        if self._connections.pop(connection.fd, None) is not None and connection.state == _CONNECTING:
            self._connecting -= 1
        connection.state = _CLOSED
        connection.raw.close()

    def _chores(self) -> None:
        now = time.monotonic()
        oldest = now - self._timeout_s
        for connection in list(self._connections.values()):
            if connection.sent < oldest and connection.state == _BUSY:
                self._fail(connection, "timeout")
            elif connection.sent < oldest and connection.state == _CONNECTING:
                self._close(connection)
                self._connect_failed(late_reason(connection.raw))
        while self._waiting and self._waiting[0] < oldest:
            planned = self._waiting.popleft()
            self.counts.fail("timeout")
            self._latencies.append(now - planned)
        while self._reopen_at and self._reopen_at[0] <= now:
            self._reopen_at.popleft()
        self._open_more()
