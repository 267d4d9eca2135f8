"""Sends a list of requests, each once, those of one user one after the other: who replays people keeps their order.

A pool takes any free connection, so that two requests of one user may overtake each other. Here every user has a lane:
what is due waits until the reply to the one before is here, and then takes the user's own connection, if that is free. With
more users than connections the one that was idle for longest changes its user.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from darktime.blast.connection import BUSY, CONNECTING, IDLE, Connection
from darktime.blast.connections import OURS
from darktime.blast.counts import Counts
from darktime.blast.opener import Opener
from darktime.blast.requests import TLS_ALERT
from darktime.blast.sockets import reason_of
from darktime.blast.spans import Spans
from darktime.blast.sums import add
from darktime.blast.turns import Turns
from darktime.wire.errors import WireError
from darktime.wire.http1 import ResponseReader
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence

    from darktime.blast.cohort import Batch, Cohort
    from darktime.blast.settings import Address

MAX_WAITING: Final = 100_000
STREAM: Final = "text/event-stream"
NOT_SENT: Final = "not_sent_in_time"
_RECEIVE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One request to be sent: its bytes, whose it is, and its method, by which its reply is read."""

    request: bytes
    user: str
    method: str


class Outcome(NamedTuple):
    """How a request ended; ``status`` 0 and a ``reason`` where no answer came. Of a stream, until its head.

    ``latency_s`` runs from the planned time, ``service_s`` from the sending.
    """

    status: int
    content_type: str
    length: int
    latency_s: float
    service_s: float
    reason: str


class _Lane(Connection):
    __slots__ = ("user",)

    def __init__(self, raw: _socket.socket) -> None:
        super().__init__(raw)
        self.user = ""


class Lanes:
    """A ``Load``: the n-th ``submit`` sends the n-th errand. ``outcomes`` has each one's end, None while there is none.

    ``failed`` says which outcomes count as failures, for whoever ends a run of too many. ``sent_at``: when (monotonic
    seconds) each was sent; 0.0 of one that was not.
    """

    def __init__(
        self,
        cohort: Cohort,
        address: Address,
        errands: Sequence[Errand],
        *,
        size: int,
        sources: Sequence[str] = (),
        timeout_s: float,
        failed: Callable[[int, Outcome], bool] = lambda _, outcome: not outcome.status,
    ) -> None:
        self.counts = Counts()
        self.closed_model = False
        self.in_flight = 0
        self.outcomes: list[Outcome | None] = [None] * len(errands)
        self.sent_at = [0.0] * len(errands)
        self._cohort = cohort
        self._errands = errands
        self._size = size
        self._timeout_s = timeout_s
        self._failed = failed
        self._next = 0
        self._turns = Turns()
        self._owned: dict[str, _Lane] = {}
        self._idle: OrderedDict[int, _Lane] = OrderedDict()  # idle for longest first
        self._spans = Spans()
        self._opener = Opener(
            cohort,
            self,
            address,
            size=size,
            on_demand=False,
            source_ips=sources,
            make=_Lane,
            stood=self._stood,
            failed=self._connect_failed,
        )
        cohort.chores.append(self._chores)

    @property
    def waiting(self) -> int:
        """Requests that are due, and whose user or connection is not free yet."""
        return self._turns.waiting

    @property
    def open_connections(self) -> int:
        """Connections that stand."""
        return self._opener.standing

    @property
    def served_connections(self) -> int:
        """Connections that stand and have had a reply."""
        return sum(connection.served for connection in self._opener.by_fd.values())

    @property
    def standing(self) -> bool:
        """As many connections stand as are wanted before the first request."""
        return self.open_connections >= self._size

    @property
    def ended(self) -> tuple[int, int]:
        """Requests that ended since the last ``take``, and how many of them failed."""
        return self.counts.requests, self.counts.failures

    def open(self) -> None:
        """Begin to connect all that are missing, some at a time."""
        self._opener.open_all()

    def submit(self, planned: float) -> bool:
        """Send the next errand, planned for ``planned`` (monotonic seconds), when its user and a connection are free.

        False: too many wait already, this one is never sent.
        """
        number = self._next
        self._next += 1
        if self.waiting >= MAX_WAITING:
            return False
        user = self._errands[number].user
        if self._turns.is_free(user) and (connection := self._connection_of(user)) is not None:
            self._send(connection, user, planned, number, on_time=True)
        else:
            self.counts.waited += 1
            self._turns.wait(user, planned, number)
        return True

    def start_closed(self) -> None:
        """There is no closed model of what people did. Raises NotImplementedError."""
        raise NotImplementedError

    def drop_waiting(self) -> int:
        """Forget the requests that wait; how many they were. None of them was sent."""
        return self._turns.clear()

    def abandon(self, reason: str) -> int:
        """Count every request in flight as failed for ``reason``; how many they were."""
        busy = [one for one in self._opener.by_fd.values() if one.state == BUSY]
        for connection in busy:
            self._lost(connection, reason)
        return len(busy)

    def take(self) -> Counts:
        """What was counted since the last time."""
        taken, self.counts = self.counts, Counts()
        spans, self._spans = self._spans, Spans()
        spans.count_into(taken, closed_model=False)
        return taken

    def close(self) -> None:
        """Close every connection; what is in flight is not counted any more."""
        if self._chores in self._cohort.chores:
            self._cohort.chores.remove(self._chores)
        self._opener.close_all()
        self.drop_waiting()
        self.in_flight = 0

    def ready(self, batch: Batch) -> None:
        """Read what has arrived, and send what may go."""
        for fd, mask in batch:
            connection = self._opener.by_fd.get(fd)
            if connection is None:  # closed by another of this batch
                continue
            if connection.state == CONNECTING:
                self._opener.connected(connection)
                continue
            if connection.unsent and mask & OUT:
                self._flush(connection)
            if mask & ~OUT:
                self._read(connection)

    # Sending.

    def _connection_of(self, user: str) -> _Lane | None:
        """The user's own connection, else one that nobody has had, else the one that was idle for longest."""
        own = self._owned.get(user)
        if own is not None and own.fd in self._idle:
            del self._idle[own.fd]
            return own
        if not self._idle:
            return None
        _, connection = self._idle.popitem(last=False)
        if self._owned.get(connection.user) is connection:
            del self._owned[connection.user]
        connection.user = user
        self._owned[user] = connection
        return connection

    def _send(self, connection: _Lane, user: str, planned: float, number: int, *, on_time: bool) -> None:
        errand, now = self._errands[number], time.monotonic()
        connection.planned, connection.sent, connection.number = planned, now, number
        connection.state = BUSY
        connection.reader = ResponseReader(max_body=0)
        connection.reader.expect(errand.method.encode())
        self.sent_at[number] = now
        self._turns.begin(user)
        self.in_flight += 1
        if on_time:
            self._spans.lags.append(max(now - planned, 0.0))
        connection.unsent = errand.request
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            connection.unsent = b""  # the reading side tells how it ended
            self._cohort.poller.modify(connection.fd, IN)
            return
        connection.unsent = connection.unsent[sent:]
        self._cohort.poller.modify(connection.fd, IN | OUT if connection.unsent else IN)

    def _serve(self) -> None:
        """Give free connections to the users who wait for one."""
        while (user := self._turns.first()) is not None:
            connection = self._connection_of(user)
            if connection is None:
                return
            planned, number = self._turns.take(user)
            self._send(connection, user, planned, number, on_time=False)

    # Reading.

    def _read(self, connection: Connection) -> None:
        try:
            received = connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, reason_of(error.errno))
            return
        reader = connection.reader
        if connection.state != BUSY or reader is None:  # an end, or a reply to nothing
            self._lost(connection, "closed")
            return
        self.counts.bytes += len(received)
        self.counts.backlog_reads += len(received) == _RECEIVE_BYTES
        try:
            replies = reader.feed(received) if received else [reply] if (reply := reader.eof()) is not None else []
        except WireError:
            self._lost(connection, _not_a_reply(received))
            return
        if len(replies) > 1:
            self._lost(connection, "unexpected_reply")
        elif replies:
            reply = replies[0]
            kind = next((value for name, value in reply.headers if name == b"content-type"), b"")
            self._answered(connection, reply.status, kind, reply.length, keep=reply.keep_alive and bool(received))
        elif not received:
            self._lost(connection, "closed")
        elif reader.head is not None and (kind := reader.head.header(b"content-type") or b"").startswith(
            STREAM.encode()
        ):
            self._answered(connection, reader.head.status, kind, 0, keep=False)  # it would last as long as its user

    def _answered(self, connection: Connection, status: int, kind: bytes, length: int, *, keep: bool) -> None:
        now = time.monotonic()
        connection.served = True
        add(self.counts.statuses, str(status))
        content_type = kind.decode("latin-1").partition(";")[0].strip().lower()
        latency_s, service_s = now - connection.planned, now - connection.sent
        self._spans.services.append(service_s)
        self._end(connection, Outcome(status, content_type, length, latency_s, service_s, ""))
        self._free(connection, keep=keep and not connection.unsent)

    def _lost(self, connection: Connection, reason: str) -> None:
        if not connection.served:
            add(self.counts.turned_away, reason)
        if connection.state == BUSY:
            now = time.monotonic()
            add(self.counts.reasons, reason)
            self._end(connection, Outcome(0, "", 0, now - connection.planned, now - connection.sent, reason))
        self._free(connection, keep=False)

    def _end(self, connection: Connection, outcome: Outcome) -> None:
        number = connection.number
        self.in_flight -= 1
        self._turns.end(self._errands[number].user)
        self._spans.latencies.append(outcome.latency_s)
        self._count(number, outcome)

    def _count(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome
        self.counts.requests += 1
        self.counts.failures += self._failed(number, outcome)

    def _free(self, connection: Connection, *, keep: bool) -> None:
        assert isinstance(connection, _Lane)
        connection.reader = None
        if keep:
            connection.state = IDLE
            self._idle[connection.fd] = connection
        else:
            self._idle.pop(connection.fd, None)
            if self._owned.get(connection.user) is connection:
                del self._owned[connection.user]
            self._opener.close(connection)
            self._opener.open_more()
        self._serve()

    # Connecting, and what has taken too long.

    def _stood(self, connection: Connection) -> None:
        self.counts.connects += 1
        self.counts.connect.add(int((time.monotonic() - connection.sent) * 1e6))
        self._free(connection, keep=True)

    def _connect_failed(self, reason: str) -> None:
        self.counts.errors_of_ours += reason.startswith(OURS)
        self.counts.connect_errors += 1
        add(self.counts.turned_away, reason)
        user = self._turns.first()
        if user is not None:  # the request that would have used it fails with it
            self._never_sent(*self._turns.take(user), reason)

    def _never_sent(self, planned: float, number: int, reason: str) -> None:
        waited_s = time.monotonic() - planned
        add(self.counts.reasons, reason)
        self._spans.latencies.append(waited_s)
        self._count(number, Outcome(0, "", 0, waited_s, 0.0, reason))

    def _chores(self) -> None:
        oldest = time.monotonic() - self._timeout_s
        for connection in list(self._opener.by_fd.values()):
            if connection.sent >= oldest:
                continue
            if connection.state == BUSY:
                self._lost(connection, "timeout")
            elif connection.state == CONNECTING:
                self._opener.give_up(connection)
        for planned, number in self._turns.overdue(oldest):
            self._never_sent(planned, number, NOT_SENT)
        self._opener.open_more()


def _not_a_reply(received: bytes) -> str:
    if received.startswith(TLS_ALERT):
        return "speaks_tls"
    return "not_http" if received else "closed"
