"""N EventSource subscribers on a push endpoint and the publishing to them: every delivery is timed and accounted.

A payload carries its planned time and a number that rises by one a channel. A subscriber knows by it what it missed,
what came twice and how long it took. Which events a channel owes a subscriber is known here, because they were
published from here.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from darktime.blast.deliveries import Deliveries
from darktime.blast.sockets import OURS, connect, pending_error
from darktime.wire.errors import WireError
from darktime.wire.poller import IN, OUT
from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    import _socket

    from darktime.blast.cohort import Batch, Cohort
    from darktime.blast.settings import Address

CHANNEL_PREFIX = "blast."
MAX_CONNECTING = 100
RECEIVE_BYTES = 262_144
RECONNECT_AFTER_S = 0.5
# A line that has not ended: ours have 70 bytes; whatever is longer belongs to somebody else and is cut.
MAX_TAIL = 65_536
_CONNECTING, _ASKED, _OPEN, _CLOSED = range(4)


class Publisher:
    """Makes the publish requests of all channels in turn, and remembers what each channel owes its subscribers."""

    def __init__(self, address: Address, channels: int, run: str) -> None:
        self.published = [0] * channels  # the last number of each channel
        self.fixed: bytes | None = None  # every one is different
        self.settled = [0] * channels  # up to this number the account is closed
        self.refused: list[set[int]] = [set() for _ in range(channels)]  # numbers the instance did not take, since then
        self._run = run
        self._turn = 0
        length = len(self._body(0, 0))
        self._heads = [
            (
                f"POST /pub?id={CHANNEL_PREFIX}{channel} HTTP/1.1\r\nHost: {address.authority}\r\nX-Darktime: 1\r\n"
                f"User-Agent: darkesttime\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            ).encode("ascii")
            for channel in range(channels)
        ]

    def _body(self, at_us: int, number: int) -> bytes:
        return b'{"blast":"%s","at":%016d,"n":%010d}' % (self._run.encode("ascii"), at_us, number)

    def next(self, planned_s: float) -> tuple[bytes, int]:
        """The next publish; its number is channel + channels * number in the channel."""
        channel = self._turn
        self._turn = (channel + 1) % len(self._heads)
        number = self.published[channel] = self.published[channel] + 1
        return self._heads[channel] + self._body(int(planned_s * 1e6), number), channel + len(self._heads) * number

    def ended(self, number: int, *, ok: bool) -> None:
        """Remember what the instance did not take: nobody is owed it."""
        if not ok:
            number, channel = divmod(number, len(self._heads))
            self.refused[channel].add(number)

    def settle(self) -> None:
        """Close the account: whoever has not got what was published until now has lost it."""
        for channel, number in enumerate(self.published):
            self.settled[channel] = number
            self.refused[channel].clear()


class _Subscriber:
    __slots__ = ("channel", "expected", "fd", "missing", "raw", "reader", "reopen_at", "state", "tail")

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.expected = 1  # the number that comes next
        self.missing: set[int] = set()  # passed over, may still come
        self.state = _CLOSED
        self.raw: _socket.socket | None = None
        self.fd = -1
        self.reader = StreamReader()
        self.tail = b""
        self.reopen_at = 0.0


class Streams:
    """``count`` subscribers over the publisher's channels, in turn."""

    def __init__(self, cohort: Cohort, address: Address, publisher: Publisher, *, count: int, run: str) -> None:
        self.deliveries = Deliveries()
        self._cohort = cohort
        self._address = address
        self._publisher = publisher
        channels = len(publisher.published)
        self._subscribers = [_Subscriber(number % channels) for number in range(count)]
        self._connecting = 0
        self._by_fd: dict[int, _Subscriber] = {}
        # The payload as it was published, wherever in its line: engines may wrap or prefix it.
        self._marker = re.compile(rb'"blast":"%s","at":(\d{16}),"n":(\d{10})\}' % run.encode("ascii"))
        cohort.chores.append(self._chores)

    @property
    def open(self) -> int:
        """Subscribers that are being served."""
        return sum(subscriber.state == _OPEN for subscriber in self._subscribers)

    def owed(self) -> int:
        """Deliveries that are still to come, for the open subscribers."""
        published = self._publisher.published
        refused = self._publisher.refused
        total = 0
        for subscriber in self._subscribers:
            if subscriber.expected <= published[subscriber.channel] or subscriber.missing:
                total += len(self._missed(subscriber, refused[subscriber.channel]))
        return total

    def settle(self) -> int:
        """Count what is owed as lost, and close the account on both sides; how many were lost."""
        lost = self.owed()
        self.deliveries.lost += lost
        for subscriber in self._subscribers:
            subscriber.missing.clear()
            subscriber.expected = self._publisher.published[subscriber.channel] + 1
        self._publisher.settle()
        return lost

    def take(self) -> Deliveries:
        """What was counted since the last time."""
        taken, self.deliveries = self.deliveries, Deliveries()
        return taken

    def close(self) -> None:
        """Close every stream."""
        if self._chores in self._cohort.chores:
            self._cohort.chores.remove(self._chores)
        for subscriber in self._subscribers:
            self._drop(subscriber)

    def _missed(self, subscriber: _Subscriber, refused: set[int]) -> set[int]:
        published = self._publisher.published[subscriber.channel]
        return (subscriber.missing | set(range(subscriber.expected, published + 1))) - refused

    def _chores(self) -> None:
        now = time.monotonic()
        for subscriber in self._subscribers:
            if self._connecting >= MAX_CONNECTING:
                return
            if subscriber.state == _CLOSED and subscriber.reopen_at <= now:
                self._connect(subscriber)

    def _connect(self, subscriber: _Subscriber) -> None:
        try:
            raw = connect(self._address)
        except OSError as error:
            self.deliveries.errors_of_ours += error.errno in OURS
            self._refused(subscriber)
            return
        subscriber.raw, subscriber.fd = raw, raw.fileno()
        subscriber.reader = StreamReader()
        subscriber.tail = b""
        subscriber.state = _CONNECTING
        self._connecting += 1
        self._by_fd[subscriber.fd] = subscriber
        self._cohort.register(subscriber.fd, OUT, self)

    def ready(self, batch: Batch) -> None:
        """Read what has arrived."""
        for fd, mask in batch:
            subscriber = self._by_fd.get(fd)
            if subscriber is not None:
                self._ready(subscriber, mask)

    def _ready(self, subscriber: _Subscriber, mask: int) -> None:  # noqa: ARG002 - errors show when it is read
        raw = subscriber.raw
        assert raw is not None
        if subscriber.state == _CONNECTING:
            self._ask(subscriber, raw)
            return
        try:
            received = raw.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._refused(subscriber)
            return
        self.deliveries.bytes += len(received)
        try:
            body = subscriber.reader.body(received)
        except WireError:
            self._refused(subscriber)
            return
        if subscriber.state == _ASKED and subscriber.reader.head is not None:
            if not subscriber.reader.is_stream:
                self._refused(subscriber)
                return
            subscriber.state = _OPEN
            self._connecting -= 1
        if body:
            self._read(subscriber, body)
        if subscriber.reader.done:
            self._refused(subscriber)

    def _ask(self, subscriber: _Subscriber, raw: _socket.socket) -> None:
        if pending_error(raw):
            self._refused(subscriber)
            return
        request = (
            f"GET /ev/{CHANNEL_PREFIX}{subscriber.channel} HTTP/1.1\r\nHost: {self._address.authority}\r\n"
            f"User-Agent: darkesttime\r\nAccept: text/event-stream\r\nX-Darktime: 1\r\n\r\n"
        ).encode("ascii")
        try:
            raw.send(request)  # a new socket's buffer is empty: it takes 200 bytes whole
        except OSError:
            self._refused(subscriber)
            return
        subscriber.state = _ASKED
        self._cohort.poller.modify(subscriber.fd, IN)

    def _read(self, subscriber: _Subscriber, body: bytes) -> None:
        now_us = int(time.monotonic() * 1e6)
        text = subscriber.tail + body if subscriber.tail else body
        whole = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        subscriber.tail = text[whole:][-MAX_TAIL:]
        deliveries = self.deliveries
        latency = deliveries.latency
        for at, digits in self._marker.findall(text, 0, whole):
            number = int(digits)
            if number == subscriber.expected:
                subscriber.expected = number + 1
            elif number > subscriber.expected:
                subscriber.missing.update(range(subscriber.expected, number))
                subscriber.expected = number + 1
            elif number in subscriber.missing:
                subscriber.missing.remove(number)
            elif number <= self._publisher.settled[subscriber.channel]:
                deliveries.late += 1
                continue
            else:
                deliveries.duplicated += 1
                continue
            deliveries.delivered += 1
            latency.add(max(now_us - int(at), 0))

    def _refused(self, subscriber: _Subscriber) -> None:
        self.deliveries.streams_ended += 1
        subscriber.reopen_at = time.monotonic() + RECONNECT_AFTER_S
        self._drop(subscriber)

    def _drop(self, subscriber: _Subscriber) -> None:
        if subscriber.state in (_CONNECTING, _ASKED):
            self._connecting -= 1
        subscriber.state = _CLOSED
        if subscriber.raw is not None:
            self._cohort.unregister(subscriber.fd)
            self._by_fd.pop(subscriber.fd, None)
            subscriber.raw.close()
            subscriber.raw = None
