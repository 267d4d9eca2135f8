"""Writes to subscribers: in pieces, and with what the server does about those who do not read."""

from __future__ import annotations

import select
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import LAST_CHUNK
from tests.darktime.blast.servers.sse_wire import cut

if TYPE_CHECKING:
    from collections import Counter

    from tests.darktime.blast.servers.control import SideLoop
    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop


class Delivery:
    """One server's way to write.

    ``slow``: "buffer" keeps all that waits, "drop" closes who has more than ``buffer_bytes`` waiting, "block" waits
    until the socket has taken it, and everybody with it.
    """

    def __init__(
        self, loop: Loop, counts: Counter[str], *, how: str, pause_s: float, slow: str, buffer_bytes: int
    ) -> None:
        self._loop = loop
        self._counts = counts
        self._how = how
        self._pause_s = pause_s
        self._slow = slow
        self._buffer_bytes = buffer_bytes
        self._waiting: dict[Link, deque[bytes]] = {}
        self._written = 0
        self.buffered_most = 0

    def write(self, link: Link, wire: bytes, side: SideLoop | None) -> None:
        """Send ``wire``."""
        if self._how == "none":
            self._send(link, wire, side)
            return
        self._written += 1
        pieces = cut(wire, self._how, self._written)
        waiting = self._waiting.get(link)
        if waiting is None:
            self._waiting[link] = deque(pieces)
            self._next_piece(link, side)
        else:
            waiting.extend(pieces)

    def end(self, link: Link) -> None:
        """The last chunk."""
        self._waiting.pop(link, None)
        link.send(LAST_CHUNK)
        link.end()

    def _next_piece(self, link: Link, side: SideLoop | None) -> None:
        waiting = self._waiting.get(link)
        if waiting is None:
            return
        if link.closed or not waiting:
            del self._waiting[link]
            return
        self._send(link, waiting.popleft(), side)
        self._loop.at(monotonic() + self._pause_s, self._next_piece, link, side)

    def _send(self, link: Link, payload: bytes, side: SideLoop | None) -> None:
        link.send(payload)
        if not link.out:
            return
        waits = len(link.out)
        self.buffered_most = max(self.buffered_most, waits)
        if self._slow == "drop" and waits > self._buffer_bytes:
            self._counts["dropped_slow"] += 1
            link.close()
        elif self._slow == "block":
            self._block(link, side)

    def _block(self, link: Link, side: SideLoop | None) -> None:
        """Hold everything up until this one has taken what is his; only the control port and signals are served."""
        self._counts["blocks"] += 1
        began = monotonic()
        poll = select.poll()
        poll.register(link.fd, select.POLLOUT)
        poll.register(self._loop.woken_fd, select.POLLIN)
        if side is not None:
            poll.register(side.fileno(), select.POLLIN)
        while link.out and not link.closed and not self._loop.stopping:
            for fd, _ in poll.poll():
                if fd == link.fd:
                    link.flush()
                elif side is not None and fd == side.fileno():
                    side.turn()
        self._counts["blocked_ms"] += round((monotonic() - began) * 1000)
