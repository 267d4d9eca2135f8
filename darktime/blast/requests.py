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
from typing import TYPE_CHECKING

from darktime.blast import redirects
from darktime.blast.common_replies import CommonReplies
from darktime.blast.connection import BUSY, CONNECTING, IDLE, NEVER, Connection
from darktime.blast.connections import OURS
from darktime.blast.counts import Counts
from darktime.blast.opener import Opener
from darktime.blast.sockets import reason_of
from darktime.blast.spans import Spans
from darktime.blast.sums import add
from darktime.wire.errors import WireError
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
TLS_ALERT = b"\x15\x03"  # how a TLS port answers who speaks plain HTTP to it
UNAVAILABLE = 503
HEAD = b"HEAD "
_NO_REPLY = bytes(RECEIVE_BYTES + 1)  # longer than any read: none equals it
_OK_BELOW = 400


class RequestPool:
    """``size`` connections to one address. ``counts`` grows; ``take`` hands it on and begins anew.

    ``fresh``: every request gets a connection of its own, opened when it is due. ``follow``: redirects to the same host
    are followed, within the latency of the request that met them. ``source_ips``: where connections come from, in turn.
    ``connects_per_s`` paces them, but those of ``fresh``.
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
        connects_per_s: float | None = None,
    ) -> None:
        self.counts = Counts()
        self.closed_model = False
        self.in_flight = 0
        self._cohort = cohort
        self._source = source
        self._fixed = source.fixed
        self._size = size
        self._timeout_s = timeout_s
        self._fresh = fresh
        self._follow = follow
        self._origins = tuple(origin.encode("latin-1") for origin in address.origins)
        self._opener = Opener(
            cohort,
            self,
            address,
            size=size,
            on_demand=fresh,
            source_ips=source_ips,
            make=self.connection,
            stood=self._stood,
            failed=self._connect_failed,
            connects_per_s=connects_per_s,
        )
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._replies = CommonReplies(unless=redirects.STATUSES if follow else frozenset())
        self._last_reply, self._last_status = _NO_REPLY, 0
        self._spans = Spans()
        cohort.chores.append(self._chores)

    @property
    def open_connections(self) -> int:
        """Connections that stand."""
        return self._opener.standing

    @property
    def served_connections(self) -> int:
        """Connections that stand and have had a reply."""
        return sum(connection.served for connection in self._opener.by_fd.values())

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
        self._opener.open_all()

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
        if self._fresh and self._opener.missing > 0:
            self._opener.connect()
        else:
            self.counts.waited += 1
        return True

    def start_closed(self) -> None:
        """Closed model: let every free connection send."""
        now = time.monotonic()
        while (connection := self._next_idle()) is not None:
            self._send(connection, now, on_time=True)
        if self._fresh:
            self._begin_fresh()

    def drop_waiting(self) -> int:
        """Forget the requests that wait; how many they were. None of them was sent."""
        dropped = len(self._waiting)
        self._waiting.clear()
        return dropped

    def abandon(self, reason: str) -> int:
        """Count every request in flight as failed for ``reason`` and close its connection; how many they were."""
        busy = [connection for connection in self._opener.by_fd.values() if connection.state == BUSY]
        for connection in busy:
            self._fail(connection, reason)
        return len(busy)

    def take(self) -> Counts:
        """What was counted since the last time."""
        taken, self.counts = self.counts, Counts()
        spans, self._spans = self._spans, Spans()
        spans.count_into(taken, closed_model=self.closed_model)
        return taken

    def close(self) -> None:
        """Close every connection; what is in flight is not counted any more."""
        if self._chores in self._cohort.chores:
            self._cohort.chores.remove(self._chores)
        self._opener.close_all()
        self._idle.clear()
        self._waiting.clear()
        self.in_flight = 0

    def ready(self, batch: Batch) -> None:  # noqa: C901, PLR0912, PLR0915 - the hot path: one frame, local names
        """Read what has arrived, and send what may go."""
        connections, status_of, clock = self._opener.by_fd, self._replies.status, time.monotonic
        fixed, closed, waiting, idle = self._fixed, self.closed_model, self._waiting, self._idle
        busy = BUSY if not self._fresh else NEVER  # a fresh connection ends with its reply: the general way does that
        spans = self._spans
        latencies, services, prompt = spans.latencies, spans.services, spans.prompt.append
        last_reply, last_status, follow = self._last_reply, self._last_status, self._follow
        quick = 0  # replies that equal ``last_reply`` and are not counted yet
        for fd, mask in batch:
            connection = connections.get(fd)
            if connection is None:  # closed by another of this batch
                continue
            if mask != IN or connection.state != busy or connection.reader is not None:
                self._ready(connection, mask)
                continue
            try:
                received = connection.recv(RECEIVE_BYTES)
            except OSError as error:
                self._unreadable(connection, error)
                continue
            if received != last_reply:
                status = status_of(received)
                if not status:
                    self._received(connection, received)
                    continue
                self._count(last_status, quick, len(last_reply))
                last_reply, last_status, quick = received, status, 0
            now = clock()
            quick += 1
            planned, connection.served = connection.planned, True
            if planned == connection.sent:
                prompt(now - planned)
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
                connection.state = IDLE
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
            if fixed is None and request[:5] == HEAD:  # its reply is read otherwise
                self._write(connection, request)
                continue
            try:
                sent = connection.send(request)
            except OSError as error:
                self._unsendable(connection, request, error)
                continue
            if sent != len(request):
                self._sent_in_part(connection, request, sent)
        self._count(last_status, quick, len(last_reply))
        self._last_reply, self._last_status = last_reply, last_status

    def _count(self, status: int, replies: int, size: int = 0) -> None:
        """So many replies; ``size``: bytes of each that are not counted yet."""
        if not replies:
            return
        counts = self.counts
        counts.requests += replies
        counts.bytes += replies * size
        add(counts.statuses, str(status), replies)
        if status >= _OK_BELOW:
            counts.failures += replies
            add(counts.reasons, f"status_{status // 100}xx", replies)

    def connection(self, raw: _socket.socket) -> Connection:
        """What a connection of this pool is."""
        return Connection(raw)

    def _connect_failed(self, reason: str) -> None:
        self.counts.errors_of_ours += reason.startswith(OURS)
        self.counts.connect_errors += 1
        add(self.counts.turned_away, reason)
        if self._waiting:  # the request that would have used it fails with it
            planned = self._waiting.popleft()
            self.counts.fail(reason)
            self._spans.latencies.append(time.monotonic() - planned)

    def _ready(self, connection: Connection, mask: int) -> None:
        """The ways that are not taken at every request."""
        if connection.state == CONNECTING:
            self._opener.connected(connection)
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

    def _received(self, connection: Connection, received: bytes) -> None:
        if not received:
            self._ended(connection)
            return
        self.counts.bytes += len(received)
        if len(received) == RECEIVE_BYTES:
            self.counts.backlog_reads += 1
        if connection.state != BUSY:  # a reply to nothing
            self._opener.close(connection)
            self._opener.open_more()
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

    def _unreadable(self, connection: Connection, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._lost(connection, reason_of(error.errno))

    def _stood(self, connection: Connection) -> None:
        self.counts.connects += 1
        self.counts.connect.add(int((time.monotonic() - connection.sent) * 1e6))
        self._free(connection)

    def _free(self, connection: Connection) -> None:
        connection.state = IDLE
        if self._waiting:
            self._send(connection, self._waiting.popleft(), on_time=False)
        elif self.closed_model:
            self._send(connection, time.monotonic(), on_time=True)
        else:
            self._idle.append(connection)

    def _next_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.state == IDLE:  # else it was closed while it stood here
                return connection
        return None

    def _send(self, connection: Connection, planned: float, *, on_time: bool) -> None:
        if self._fixed is None:
            request, connection.number = self._source.next(planned)
        else:
            request = self._fixed
        now = time.monotonic()
        connection.planned, connection.sent = planned, now
        connection.state = BUSY
        connection.hops = 0
        if self._follow:
            connection.request = request
        self.in_flight += 1
        if on_time:
            self._spans.lags.append(now - planned if now > planned else 0.0)
        self._write(connection, request)

    def _write(self, connection: Connection, request: bytes) -> None:
        if request[:5] == HEAD:  # its reply has no body, whatever its head announces
            connection.reader = ResponseReader(max_body=0)
            connection.reader.expect(b"HEAD")
        try:
            sent = connection.send(request)
        except OSError as error:
            self._unsendable(connection, request, error)
            return
        if sent != len(request):
            self._sent_in_part(connection, request, sent)

    def _unsendable(self, connection: Connection, request: bytes, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._sent_in_part(connection, request, 0)
        else:
            self._lost(connection, reason_of(error.errno))

    def _sent_in_part(self, connection: Connection, request: bytes, sent: int) -> None:
        self.counts.sends_blocked += 1
        connection.unsent = request[sent:]
        self._cohort.poller.modify(connection.fd, IN | OUT)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.send(connection.unsent)
        except OSError:
            return  # the reading side tells how it ended
        connection.unsent = connection.unsent[sent:]
        if not connection.unsent:
            self._cohort.poller.modify(connection.fd, IN)

    def _replied(self, connection: Connection, reply: Reply) -> None:
        if self._follow and reply.status in redirects.STATUSES and self._redirected(connection, reply):
            return
        now = time.monotonic()
        self.in_flight -= 1
        self._count(reply.status, 1)
        self._spans.latencies.append(now - connection.planned)
        self._spans.services.append(now - connection.sent)
        self._source.ended(connection.number, ok=reply.status < _OK_BELOW)
        if reply.status != UNAVAILABLE or reply.keep_alive:
            connection.served = True
        elif not connection.served:
            add(self.counts.turned_away, str(reply.status))
        connection.state = IDLE
        if reply.keep_alive and not self._fresh:
            self._free(connection)
        else:
            self._opener.close(connection)
            self._next()

    def _redirected(self, connection: Connection, reply: Reply) -> bool:
        if connection.hops >= redirects.MAX_HOPS:
            return False
        request = redirects.next_request(connection.request, reply, self._origins)
        if request is None:
            return False
        connection.hops += 1
        self.counts.redirects += 1
        self._write(connection, request)
        return True

    def _ended(self, connection: Connection) -> None:
        if connection.state == BUSY and connection.reader is not None:
            try:
                reply = connection.reader.eof()
            except WireError:
                reply = None
            if reply is not None:
                self._replied(connection, reply)
                return
        self._lost(connection, "closed")

    def _lost(self, connection: Connection, reason: str) -> None:
        if not connection.served:
            add(self.counts.turned_away, reason)
        if connection.state == BUSY:
            self._fail(connection, reason)
        else:
            self._opener.close(connection)
            self._next()

    def _fail(self, connection: Connection, reason: str) -> None:
        self.in_flight -= 1
        self.counts.fail(reason)
        self._spans.latencies.append(time.monotonic() - connection.planned)
        self._source.ended(connection.number, ok=False)
        self._opener.close(connection)
        self._next()

    def _next(self) -> None:
        """A connection has gone: open what is due."""
        if not self._fresh:
            self._opener.open_more()
        elif self._waiting or self.closed_model:
            if not self._waiting:
                self._waiting.append(time.monotonic())
            self._opener.connect()

    def _begin_fresh(self) -> None:
        """A connection for each request that waits and has none; closed, for each place that is free.

        Those whose connection failed are among them: a tenth of a second later, as the chores come.
        """
        opener = self._opener
        missing = opener.missing if self.closed_model else min(opener.missing, len(self._waiting) - opener.connecting)
        for _ in range(missing):
            if self.closed_model:
                self._waiting.append(time.monotonic())
            opener.connect()

    def _goes_on(self, connection: Connection, oldest: float) -> bool:  # noqa: ARG002 - for pools whose replies are long
        """Whether a request that was sent before ``oldest`` may still take its time."""
        return False

    def _chores(self) -> None:
        now = time.monotonic()
        oldest = now - self._timeout_s
        for connection in list(self._opener.by_fd.values()):
            if connection.sent >= oldest:
                continue
            if connection.state == BUSY and not self._goes_on(connection, oldest):
                self._fail(connection, "timeout")
            elif connection.state == CONNECTING:
                self._opener.give_up(connection)
        while self._waiting and self._waiting[0] < oldest:
            planned = self._waiting.popleft()
            self.counts.fail("timeout")
            self._spans.latencies.append(now - planned)
        if self._fresh:
            self._begin_fresh()
        else:
            self._opener.open_more()
