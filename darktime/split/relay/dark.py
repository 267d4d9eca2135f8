"""The way to the dark instance: a bounded queue, a pool of kept connections, and the streams that are held.

Each copy goes out once and is never repeated. A reply that turns out to be an EventSource stream leaves the pool and is
read until production's own stream ends: then we close our half, read what is still on its way, and let go.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare import Side
from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.dark_side import CONNECTIONS
from darktime.split.log_format import plain_type
from darktime.split.relay import reasons
from darktime.split.relay.backlog import Backlog
from darktime.split.relay.breaker import Breaker
from darktime.split.relay.dial import reason_of
from darktime.split.relay.held import HeldStreams
from darktime.split.relay.link import Link, State
from darktime.split.relay.pool import Pool
from darktime.split.relay.quick_reply import quick_reply
from darktime.split.relay.sending import Sender
from darktime.wire.errors import WireError
from darktime.wire.poller import IN

if TYPE_CHECKING:
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.dial import Dialer
    from darktime.split.relay.later import Later
    from darktime.split.relay.outcomes import Outcomes
    from darktime.split.relay.settings import Limits
    from darktime.wire.http1 import Reply
    from darktime.wire.poller import Poller

_MOST_SAID: Final = 200  # characters of an error
_NOT_ITS_FAULT: Final = frozenset({reasons.RELAY_FULL, reasons.EXPIRED})
_SENDING, _WAITING = State.SENDING, State.WAITING


class Dark:
    """Everything between the relay and one dark instance. ``now`` is always the monotonic clock, in seconds.

    ``failures`` counts, by reason, what it left unanswered; ``last_error`` says why a connection ended last.
    """

    def __init__(
        self,
        dialer: Dialer,
        limits: Limits,
        poller: Poller,
        outcomes: Outcomes,
        *,
        connections: int = CONNECTIONS,
        later: Later | None = None,
    ) -> None:
        self._limits = limits
        self._connections = connections
        self._outcomes = outcomes
        self._dialer = dialer
        self._later = later
        self._queue = Backlog(copies=limits.queue_copies, size=limits.queue_bytes)
        self._pool = Pool(dialer, poller, later, connections=connections, idle_s=limits.idle_s)
        self._busy: dict[str, Link] = {}
        self._lasting: dict[str, Link] = {}  # of the busy: production takes as long
        self._sender = Sender(self._pool, self._queue, limits)
        self._held = HeldStreams(outcomes, most=limits.streams, farewell_s=limits.farewell_s)
        self.breaker = Breaker()
        self.submitted = self.answered = 0
        self.failures: Counter[str] = Counter()
        self.last_error = ""

    @property
    def in_flight(self) -> int:
        """Copies that are on their way to a reply."""
        return len(self._busy)

    @property
    def lasting(self) -> int:
        """Those of them that take long because production does."""
        return len(self._lasting)

    @property
    def queued(self) -> int:
        """Copies that wait for a connection."""
        return len(self._queue)

    @property
    def streams(self) -> int:
        """Streams that are held."""
        return len(self._held)

    def holds(self, request_id: str) -> bool:
        """Whether a stream is held for this copy."""
        return request_id in self._held

    def submit(self, copy: Copy, payload: bytes, now: float) -> None:
        """Send a copy on, when it can be."""
        self.submitted += 1
        if not self._queue.fits(payload):
            self._leave(copy.id, reasons.RELAY_FULL)
        elif not self.breaker.allows(now):
            self._leave(copy.id, self.breaker.reason or reasons.DARK_REFUSED)
        elif not len(self._queue) and self._room():
            self._begin(copy, payload, now)
        else:
            self._queue.put(copy, payload, now)
            self._pump(now)
            if self._later is not None and len(self._queue):
                self._later.hurry()

    def end(self, request_id: str, now: float, *, aborted: bool) -> None:
        """Production has ended a request: its dark stream has no more to live for, an aborted one's copy neither."""
        link = self._held.get(request_id)
        if link is not None:
            self._let_go(link, now)
        elif aborted and request_id in self._busy:
            self._close(self._busy[request_id])
            self._pump(now)
        elif request_id in self._lasting:
            self._lasting[request_id].deadline = now + self._limits.reply_s

    def ready(self, fd: int, mask: int, now: float) -> bool:
        """A descriptor is ready; False if it is none of ours."""
        link = self._pool.links.get(fd)
        if link is None:
            return False
        try:
            if link.state is _SENDING and not (mask & IN and link.sent_at):
                self._sender.go_on(link, now)
            elif mask:
                self._read(link, now)
        except WireError:
            self._broken(link, reasons.DARK_RESET, now)
        except OSError as error:
            self._broken(link, self._reason(error), now)
        return True

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        for link in list(self._busy.values()):
            if now > link.deadline:
                self._broken(link, self._overdue(link), now)
            elif link.state is _WAITING and now - link.sent_at > self._limits.lasting_after_s:
                self._let_last(link, now)
        for link in self._held.overdue(now):
            self._close(link)
        self._pool.sweep(now)
        while len(self._queue) and now - self._queue.since() > self._limits.queue_age_s:
            self._leave(self._queue.next()[0].id, reasons.EXPIRED)
        self._pump(now)

    def let_all_go(self, now: float) -> bool:
        """Take nothing more to send, and end all streams; True when none is left."""
        self._queue.clear()
        for link in self._held.all():
            self._let_go(link, now)
        return self._held.gone

    def close(self) -> None:
        """Close every connection."""
        for link in list(self._pool.links.values()):
            self._close(link)

    def told(self) -> dict[str, Any]:
        """Its counters, for the state."""
        return {
            "dark": self._dialer.instance.url,
            "submitted": self.submitted,
            "answered": self.answered,
            "failures": dict(self.failures),
            "queued": self.queued,
            "in_flight": self.in_flight,
            "lasting": self.lasting,
            "streams": self.streams,
            "streams_cut": self._held.cut,
            "breaker": self.breaker.reason,
            "breaker_trips": self.breaker.trips,
            "last_error": self.last_error,
        }

    def _leave(self, request_id: str, reason: str) -> None:
        self.failures[reason] += 1
        self._outcomes.failed(request_id, reason)

    def _reason(self, error: OSError) -> str:
        self.last_error = str(error)[:_MOST_SAID]
        return reason_of(error)

    def _room(self) -> bool:
        return self._pool.idle or len(self._busy) - len(self._lasting) < self._connections

    def _pump(self, now: float) -> None:
        while len(self._queue) and self._room():
            copy, payload = self._queue.next()
            if self._outcomes.wanted(copy.id):
                self._begin(copy, payload, now)

    def _begin(self, copy: Copy, payload: bytes, now: float) -> None:
        try:
            link = self._pool.kept() or self._pool.connect()
        except OSError as error:
            self._fail(copy.id, self._reason(error), now)
            return
        link.reader.max_body = self._outcomes.body_bytes(copy.id)
        self._busy[copy.id] = link
        try:
            self._sender.begin(link, copy, payload, now)
        except OSError as error:
            self._broken(link, self._reason(error), now)

    def _read(self, link: Link, now: float) -> None:
        try:
            data = self._pool.receive(link)
        except BlockingIOError:
            return
        if link.state is State.IDLE:
            self._close(link)
        elif link.stream is not None:
            if not self._held.read(link, data):
                self._held.ended(link)
                self._close(link)
        elif data:
            quick = quick_reply(data) if link.unread and link.state is _WAITING else None
            if quick is None:
                self._read_reply(link, data, now)
            else:
                self._answered(link, *quick, now)
                self._pool.rest(link, now)
                self._pump(now)
        else:
            reply = link.reader.eof()
            if reply is None:
                self._broken(link, reasons.DARK_RESET, now)
            else:
                self._replied(link, reply, link.content_type(reply.headers), now)
                self._close(link)

    def _read_reply(self, link: Link, data: bytes, now: float) -> None:
        link.keep_head(data)
        replies = link.reader.feed(data)
        if replies:
            reply = replies[0]
            content_type = link.content_type(reply.headers)
            if content_type == STREAM_TYPE:  # it ended at once: its events are events all the same
                self._outcomes.events(link.request_id, link.open_stream())
            self._replied(link, reply, content_type, now)
            if reply.keep_alive and len(replies) == 1 and not link.out and link.reader.between:
                self._pool.rest(link, now)
            else:
                self._close(link)
            self._pump(now)
            return
        head = link.reader.head
        if head is not None and link.head_pending:
            if plain_type((head.header(b"content-type") or b"").decode("latin-1")) == STREAM_TYPE:
                self._hold(link, head.status, now)
            else:
                link.forget_head()

    def _overdue(self, link: Link) -> str:
        """Whose fault it is that a reply did not come in time: while production is at it too, not the dark instance's."""
        if link.state is not _WAITING or not self._limits.lasting or self._outcomes.ended(link.request_id):
            return reasons.DARK_TIMEOUT
        # It would have been let last, had there been room.
        return reasons.EXPIRED if link.request_id in self._lasting else reasons.RELAY_FULL

    def _let_last(self, link: Link, now: float) -> None:
        """Production has not ended the request either, as at a long poll: hold it as long, beside the pool."""
        request_id = link.request_id
        if (
            request_id in self._lasting
            or len(self._lasting) >= self._limits.lasting
            or self._outcomes.ended(request_id)
        ):
            return
        self._lasting[request_id] = link
        link.deadline = now + self._limits.stream_life_s
        self._outcomes.lasting(request_id)
        self._pump(now)

    def _hold(self, link: Link, status: int, now: float) -> None:
        request_id = link.request_id
        self._no_longer_busy(request_id)
        if self._held.full:
            self._close(link)
            self._leave(request_id, reasons.RELAY_FULL)
            return
        events = link.open_stream()
        link.state = State.STREAM
        self._pool.read_later(link)
        self._held.hold(link)
        self.breaker.succeeded()
        self.answered += 1
        self._outcomes.streaming(request_id)
        ended = self._outcomes.ended(request_id)
        self._outcomes.replied(
            request_id, Side(status=status, content_type=STREAM_TYPE, length=0, seconds=_seconds(link)), now
        )
        if events:
            self._outcomes.events(request_id, events)
        if ended:
            self._let_go(link, now)
        self._pump(now)

    def _let_go(self, link: Link, now: float) -> None:
        if not self._held.let_go(link, now):
            self._close(link)

    def _replied(self, link: Link, reply: Reply, content_type: str, now: float) -> None:
        self._no_longer_busy(link.request_id)
        if link.reader.max_body:
            self._outcomes.answered(link.request_id, reply)
        self._answered(link, reply.status, content_type, reply.length, now)

    def _answered(self, link: Link, status: int, content_type: str, length: int, now: float) -> None:
        self._no_longer_busy(link.request_id)
        self.breaker.succeeded()
        self.answered += 1
        side = Side(status=status, content_type=content_type, length=length, seconds=_seconds(link))
        self._outcomes.replied(link.request_id, side, now)

    def _no_longer_busy(self, request_id: str) -> None:
        self._busy.pop(request_id, None)
        self._lasting.pop(request_id, None)

    def _broken(self, link: Link, reason: str, now: float) -> None:
        request_id, busy = link.request_id, link.request_id in self._busy
        self._held.ended(link)
        self._close(link)
        if busy:
            self._fail(request_id, reason, now)
            self._pump(now)

    def _fail(self, request_id: str, reason: str, now: float) -> None:
        self._leave(request_id, reason)
        if reason in _NOT_ITS_FAULT:
            return
        self.breaker.failed(reason, now)
        if self.breaker.reason is not None:
            while len(self._queue):
                self._leave(self._queue.next()[0].id, self.breaker.reason)

    def _close(self, link: Link) -> None:
        if not self._pool.close(link):
            return
        self._queue.held -= link.held
        self._no_longer_busy(link.request_id)
        self._held.forget(link)


def _seconds(link: Link) -> float:
    """How long the reply took, without the time that it lay here unread."""
    took = time.monotonic() - link.sent_at
    return took - link.lag_s if link.lag_s <= took else took  # a clock that was set meanwhile says nothing
