"""Opens a pool's connections, some at a time, and closes them: all that are wanted, or each when it is due."""

from __future__ import annotations

import time
from collections import deque
from itertools import cycle
from typing import TYPE_CHECKING

from darktime.blast.connection import CLOSED, CONNECTING, Connection
from darktime.blast.pace import Pace
from darktime.blast.sockets import connect, late_reason, reason_of, stands
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence

    from darktime.blast.cohort import Cohort, Owner
    from darktime.blast.settings import Address

RECONNECT_AFTER_S = 0.1
# Connections under way at once: half of the usual backlog, so that a pool that opens is no storm.
MAX_CONNECTING = 1024
# Handshakes under way at once: more would wait for each other's processor time, beyond their timeout.
MAX_SHAKING = 128


class Opener:
    """``by_fd`` holds the connections, of which ``connecting`` do not stand yet.

    ``stood`` and ``failed`` are told what became of each that was begun.

    ``on_demand``: none is opened before ``connect``. ``failed`` gets the reason.
    ``make``: what a connection is. ``connects_per_s`` paces those that are not opened on demand.
    """

    def __init__(
        self,
        cohort: Cohort,
        owner: Owner,
        address: Address,
        *,
        size: int,
        on_demand: bool,
        source_ips: Sequence[str],
        make: Callable[[_socket.socket], Connection],
        stood: Callable[[Connection], None],
        failed: Callable[[str], None],
        connects_per_s: float | None = None,
    ) -> None:
        self.by_fd: dict[int, Connection] = {}
        self._cohort = cohort
        self._owner = owner
        self._address = address
        self._size = size
        self._on_demand = on_demand
        self._source_ips = cycle(source_ips) if source_ips else None
        self._make = make
        self._stood = stood
        self._failed = failed
        self.connecting = 0
        self._max_connecting = MAX_SHAKING if address.tls else MAX_CONNECTING
        self._again_at: deque[float] = deque()
        self._pace = Pace(connects_per_s, time.monotonic())

    @property
    def standing(self) -> int:
        """Connections that stand."""
        return len(self.by_fd) - self.connecting

    @property
    def missing(self) -> int:
        """How many fewer there are than are wanted."""
        return self._size - len(self.by_fd)

    def open_all(self) -> None:
        """Begin to connect all that are missing, some at a time."""
        self._again_at.clear()
        self.open_more()

    def open_more(self) -> None:
        """Begin to connect as many of the missing as may be under way, but those that failed not before their time."""
        if self._on_demand:
            return
        now = time.monotonic()
        while self._again_at and self._again_at[0] <= now:
            self._again_at.popleft()
        missing = self._size - len(self.by_fd) - len(self._again_at)
        for _ in range(self._pace.room(min(missing, self._max_connecting - self.connecting), now)):
            self._pace.began(1)
            self.connect()

    def connect(self) -> None:
        """Begin to connect one."""
        try:
            raw = connect(self._address, next(self._source_ips) if self._source_ips else None)
        except OSError as error:
            self._not_stood(reason_of(error.errno))
            return
        connection = self._make(raw)
        self.connecting += 1
        self.by_fd[connection.fd] = connection
        self._cohort.register(connection.fd, OUT, self._owner)

    def connected(self, connection: Connection) -> None:
        """Its socket has something to say: it stands, it shakes hands, or it has failed."""
        try:
            stood = stands(connection.raw)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(connection)
            self._not_stood(reason_of(error.errno))
            return
        self._cohort.poller.modify(connection.fd, IN)
        if stood:
            self.connecting -= 1
            self._stood(connection)
            self.open_more()

    def give_up(self, connection: Connection) -> None:
        """It has taken too long to stand."""
        reason = late_reason(connection.raw)
        self.close(connection)
        self._not_stood(reason)

    def close(self, connection: Connection) -> None:
        """Close it, whether it stands or not."""
        self._cohort.unregister(connection.fd)
        if self.by_fd.pop(connection.fd, None) is not None and connection.state == CONNECTING:
            self.connecting -= 1
        connection.state = CLOSED
        connection.raw.close()

    def close_all(self) -> None:
        """Close every connection."""
        for connection in list(self.by_fd.values()):
            self.close(connection)

    def _not_stood(self, reason: str) -> None:
        """One came to nothing: the next try is not at once."""
        if not self._on_demand:
            self._again_at.append(time.monotonic() + RECONNECT_AFTER_S)
        self._failed(reason)
