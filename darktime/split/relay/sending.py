"""How a copy leaves: by one send where its connection stands and takes it whole, as nearly always; else bit by bit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from darktime.split.relay.link import AT_ONCE, State
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    from darktime.split.relay.backlog import Backlog
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.link import Link
    from darktime.split.relay.pool import Pool
    from darktime.split.relay.settings import Limits


class Sender:
    """What is being sent counts as waiting until it is gone."""

    def __init__(self, pool: Pool, backlog: Backlog, limits: Limits) -> None:
        self._pool = pool
        self._backlog = backlog
        self._limits = limits

    def begin(self, link: Link, copy: Copy, payload: bytes, now: float) -> None:
        """Give a copy to a connection. Raises OSError for one that has failed."""
        if not link.stands:
            self._hold(link, copy, payload, now + self._limits.connect_s)
            return
        began = time.monotonic()
        try:
            sent = link.sock.send(payload) if len(payload) <= AT_ONCE else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hold(link, copy, payload, now)
            raise
        if sent == len(payload):
            link.await_reply(copy, began, now + self._limits.reply_s)
            return
        self._hold(link, copy, payload, now + self._limits.reply_s)
        link.out = link.out[sent:]
        self.go_on(link, now)

    def go_on(self, link: Link, now: float) -> None:
        """Send what is left, as far as it is taken. Raises OSError."""
        if not link.stands and not self._pool.ready_to_send(link):
            return
        began = time.monotonic()
        try:
            sent = link.sock.send(link.out)
        except BlockingIOError:
            sent = 0
        if sent < len(link.out):
            link.out = link.out[sent:]
            if not link.sent_at:
                link.sent_at = began
                link.deadline = now + self._limits.reply_s
            self._pool.watch(link, IN | OUT)  # it may answer, and not read the rest
            return
        link.out = b""
        self._backlog.held -= link.held
        link.held = 0
        link.state = State.WAITING
        link.sent_at = began
        link.deadline = now + self._limits.reply_s
        self._pool.watch(link, IN)

    def _hold(self, link: Link, copy: Copy, payload: bytes, deadline: float) -> None:
        link.begin(copy, payload, deadline)
        self._backlog.held += link.held
