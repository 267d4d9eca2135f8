"""The push server's loop: one process, one epoll. Reads, lets the desk answer and fan-out run, ends what must end.

Between two looks at the sockets nothing waits: a look takes in what has arrived, a turn of fan-out sends what that made
due.
"""

from __future__ import annotations

import select
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final

from realtime_core.push.channels import Channels
from realtime_core.push.connection import Connection
from realtime_core.push.desk import Desk
from realtime_core.push.endpoints import Endpoints
from realtime_core.push.fanout import Fanout
from realtime_core.push.listener import Listener
from realtime_core.push.metrics import Counters, Exporter
from realtime_core.push.request import RequestReader
from realtime_core.push.settings import is_loopback
from realtime_core.push.subscribers import Subscribers

if TYPE_CHECKING:
    from realtime_core.push.accounts import Accounts
    from realtime_core.push.settings import Settings

TICK_S: Final = 0.25  # longest sleep, and how often limits of time are looked at
EVENTS_A_LOOK: Final = 1024
RECV_BYTES: Final = 65_536
LINGER_S: Final = 2.0
DRAIN_S: Final = 1.2
CLOSE_ACCOUNT_S: Final = 0.6
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR


class Server:
    """Listens from the moment it is made; ``run`` serves until ``stop`` is called.

    Attributes:
        host: the address it listens on.
        port: the port, also where any free one was asked for.
        wakeup: a socket that wakes the loop when something is written to it, for ``signal.set_wakeup_fd``.
        now: monotonic seconds at the last look at the sockets.
    """

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        """Take the port.

        Raises:
            ConfigurationError: it cannot be listened on.
        """
        self._settings = settings
        self._accounts = accounts
        self._epoll = select.epoll()
        self._listener = Listener(settings.host, settings.port, self._epoll)
        self.host = settings.host
        self.port = self._listener.port
        self._woken, self.wakeup = socket.socketpair()
        self._woken.setblocking(False)
        self.wakeup.setblocking(False)
        self._epoll.register(self._woken.fileno(), _IN)
        self._stopping = False
        self.now = monotonic()
        self._connections: dict[int, Connection] = {}
        self._unread: dict[Connection, None] = {}  # for whom something waits
        self._lingering: dict[Connection, None] = {}
        counters = self._counters = Counters()
        self._channels: Channels[Connection] = Channels(settings)
        self._subscribers = Subscribers(settings, self._channels, counters, accounts, self)
        self._fanout = Fanout(self._channels, counters, accounts, self._subscribers, self)
        endpoints = Endpoints(
            settings,
            self._channels,
            accounts,
            counters,
            exporter=Exporter(counters, self._gauges, self._totals),
            subscribers=lambda: len(self._subscribers),
            announce=self._fanout.announce,
        )
        self._desk = Desk(settings, self._channels, counters, endpoints, self._subscribers, loop=self)

    def stop(self) -> None:
        """Ask ``run`` to end; may be called at any moment, from a signal handler or another thread."""
        self._stopping = True
        try:
            self.wakeup.send(b"\0")
        except OSError:  # it is full of wake-ups, or already closed
            return

    def run(self) -> None:
        """Serve until ``stop`` is called; then say goodbye to everyone, close the account, and return within 2 s."""
        self._accounts.start()
        next_tick = monotonic() + TICK_S
        try:
            while not self._stopping:
                self.look(self._pause_s(next_tick))
                self._fanout.turn()
                self._desk.release()
                self._subscribers.ping()
                if self.now >= next_tick:
                    self._tick()
                    next_tick = self.now + TICK_S
            self._drain()
        finally:
            self._close()
            self._accounts.close(CLOSE_ACCOUNT_S)

    def look(self, timeout_s: float) -> None:
        """Take in what has arrived, without starting another pass."""
        events = self._epoll.poll(timeout_s, EVENTS_A_LOOK)
        self.now = monotonic()
        accept = False
        for fd, mask in events:
            connection = self._connections.get(fd)
            if connection is None:
                if fd == self._listener.fd:
                    accept = True
                elif fd == self._woken.fileno():
                    self._woken.recv(4096)
                continue
            if mask & _OUT:
                self._flush(connection)
            if mask & (_IN | _GONE) and not connection.closed:
                self._read(connection, gone=bool(mask & _GONE))
        if accept:  # last: a closed connection's number must not be given anew while its events are still in hand
            self._accept()

    def watch(self, connection: Connection) -> None:
        """Watch a connection for what can be done with it now; called whenever that may have changed."""
        if connection.closed:
            return
        waiting = bool(connection.outbox)
        asks = connection.reader is not None and not connection.lingering
        interest = _OUT if waiting else 0
        if not asks or not (waiting or connection.ending or self._desk.is_held(connection)):
            interest |= _IN
        if interest != connection.interest:
            self._epoll.modify(connection.fd, interest)
            connection.interest = interest
        if not waiting:
            self._unread.pop(connection, None)
        elif connection not in self._unread:
            connection.since = self.now
            self._unread[connection] = None

    def linger(self, connection: Connection) -> None:
        """All is said: close our side and wait for the peer's, so that no reset overtakes the last bytes."""
        connection.lingering = True
        connection.since = self.now
        self._lingering[connection] = None
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.forget(connection)
            return
        self.watch(connection)

    def forget(self, connection: Connection) -> None:
        """Close a connection; the events that it had not been sent are explained to the ledger."""
        self._accounts.dropped(connection.unsent_events())
        del self._connections[connection.fd]
        self._unread.pop(connection, None)
        self._lingering.pop(connection, None)
        self._desk.forget(connection)
        connection.close()  # which takes it out of the epoll

    def _accept(self) -> None:
        for accepted, address in self._listener.accept():
            reader = RequestReader(self._settings.max_head, self._settings.max_message)
            connection = Connection(accepted, loopback=is_loopback(address), reader=reader, now=self.now)
            self._connections[connection.fd] = connection
            self._desk.begin(connection)
            connection.interest = _IN
            self._epoll.register(connection.fd, _IN)

    def _read(self, connection: Connection, *, gone: bool) -> None:
        try:
            piece = connection.recv(RECV_BYTES)
        except BlockingIOError:
            if not gone:
                return
            piece = b""
        except OSError:
            self._lost(connection)
            return
        if not piece:
            if connection in self._subscribers:
                self._subscribers.left(connection)
            else:
                self.forget(connection)
        elif connection.reader is not None and not connection.ending:
            self._desk.take(connection, connection.reader, piece)
        # else a subscriber, or somebody who was told all: what it says is thrown away

    def _flush(self, connection: Connection) -> None:
        try:
            if connection.flush():
                connection.since = self.now
        except OSError:
            self._lost(connection)
            return
        self.watch(connection)
        if connection.outbox:
            return
        if connection.ending:
            self.linger(connection)
        elif connection.reader is not None and not self._desk.is_held(connection):
            self._desk.serve(connection)

    def _lost(self, connection: Connection) -> None:
        if connection in self._subscribers:
            self._subscribers.drop(connection, "reset")
        else:
            self._desk.lost(connection)

    def _pause_s(self, next_tick: float) -> float:
        if not self._fanout.idle():
            return 0.0
        ping = self._subscribers.next_ping()
        due = next_tick if ping is None else min(next_tick, ping)
        return max(0.0, due - monotonic())

    def _tick(self) -> None:
        """Look at every limit of time."""
        self._listener.resume()
        self._subscribers.finish_overdue()
        oldest = self.now - self._settings.send_timeout_s
        for connection in [one for one in self._unread if one.since < oldest]:
            if connection in self._subscribers:
                self._subscribers.drop(connection, "stalled")
            else:
                self._counters.closed_clients["unread"] += 1
                self.forget(connection)
        self._desk.expire()
        for connection in [one for one in self._lingering if one.since < self.now - LINGER_S]:
            self.forget(connection)
        self._channels.sweep(self.now)

    def _drain(self) -> None:
        """Send what was taken in, then the last chunk to everyone; what is not read in time is explained."""
        deadline = monotonic() + DRAIN_S
        self._listener.close()
        self._desk.finish_all()
        while not self._fanout.idle() and monotonic() < deadline:
            self._fanout.turn()
        self._subscribers.finish_all()
        while self._unread and (left_s := deadline - monotonic()) > 0:
            self.look(min(left_s, TICK_S))

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self.forget(connection)
        self._listener.close()
        self._epoll.close()
        self._woken.close()
        self.wakeup.close()

    def _gauges(self) -> dict[str, float]:
        return {
            "subscribers": len(self._subscribers),
            "channels": len(self._channels),
            "connections": len(self._connections),
            "stored_messages": self._channels.stored_messages,
            "stored_bytes": self._channels.stored_bytes,
            "waiting_bytes": self._channels.waiting_bytes,
            "outbox_bytes": sum(one.waiting_bytes for one in self._unread),
        }

    def _totals(self) -> dict[str, float]:
        return {
            "published": self._channels.published,
            "evicted_messages": self._channels.evicted,
            "accept_pauses": self._listener.pauses,
            "ledger_lost_counts": self._accounts.lost,
            "ledger_failed_flushes": self._accounts.failed_flushes,
        }
