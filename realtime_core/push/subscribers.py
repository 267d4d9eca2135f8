"""The subscribers: how they begin, what is written to them beside fan-out's direct sends, how they end."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from realtime_core.push.wire_format import GREETING, LAST_CHUNK, PING, STREAM_1_0, STREAM_1_1, chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.push.accounts import Accounts
    from realtime_core.push.channels import Channel, Channels
    from realtime_core.push.connection import Connection
    from realtime_core.push.loop import Loop
    from realtime_core.push.metrics import Counters
    from realtime_core.push.settings import Settings
    from realtime_core.push.wire_format import Event

PINGS_A_TURN: Final = 256
_PING_CHUNK: Final = chunk(PING)
_GREETING_1_1: Final = STREAM_1_1 + chunk(GREETING)
_GREETING_1_0: Final = STREAM_1_0 + GREETING


class Subscribers:
    """All connections that subscribe."""

    def __init__(
        self,
        settings: Settings,
        channels: Channels[Connection],
        counters: Counters,
        accounts: Accounts,
        loop: Loop,
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._counters = counters
        self._accounts = accounts
        self._loop = loop
        self._all: dict[Connection, None] = {}
        # All have the same period, so the order of joining, or of the last ping, is the order of being due.
        self._ping_due: OrderedDict[Connection, float] = OrderedDict()
        self._end_due: OrderedDict[Connection, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._all

    def begin(
        self, connection: Connection, channels: tuple[Channel[Connection], ...], replay: list[Event], *, chunked: bool
    ) -> None:
        """A connection becomes a subscriber: the reply's head and what is replayed go out, live events follow."""
        self._all[connection] = None
        connection.subscribe(channels, chunked=chunked)
        for channel in channels:
            channel.subscribers[connection] = channel.published
        if self._settings.ping_s:
            self._ping_due[connection] = self._loop.now + self._settings.ping_s
        if self._settings.connection_ttl_s:
            self._end_due[connection] = self._loop.now + self._settings.connection_ttl_s
        try:
            connection.write_events(replay, _GREETING_1_1 if chunked else _GREETING_1_0)
        except OSError:
            self.drop(connection, "reset")
            return
        self._counters.deliveries += len(replay)
        self._accounts.sent(replay, 1)
        self._loop.watch(connection)

    def deliver(self, subscriber: Connection, events: Sequence[Event]) -> bool:
        """Write or queue events for a subscriber whatever its state; whether it still is one."""
        size = sum(len(event.payload) for event in events)
        if subscriber.waiting_bytes and subscriber.waiting_bytes + size > self._settings.outbox_bytes:
            self.drop(subscriber, "slow")
            return False
        try:
            subscriber.write_events(events)
        except OSError:
            self.drop(subscriber, "reset")
            return False
        self._loop.watch(subscriber)
        return True

    def drop(self, subscriber: Connection, reason: str) -> None:
        """End a subscriber that does not read, or whose connection broke."""
        self._counters.dropped[reason] += 1
        self._leave(subscriber)
        self._loop.forget(subscriber)

    def left(self, subscriber: Connection) -> None:
        """A subscriber closed its side."""
        self._counters.ended["left"] += 1
        self._leave(subscriber)
        self._loop.forget(subscriber)

    def farewell(self, subscriber: Connection, channel: Channel[Connection]) -> None:
        """A subscriber's channel was deleted; without another one it ends."""
        self._channels.leave(channel, subscriber, self._loop.now)
        subscriber.channels = tuple(other for other in subscriber.channels if other is not channel)
        if not subscriber.channels:
            self._finish(subscriber, "deleted")

    def finish_all(self) -> None:
        """The server stops: the last chunk to everyone."""
        for subscriber in list(self._all):
            self._finish(subscriber, "shutdown")

    def finish_overdue(self) -> None:
        """End those whose longest stay is over."""
        while self._end_due:
            subscriber, due = next(iter(self._end_due.items()))
            if due > self._loop.now:
                return
            self._finish(subscriber, "ttl")

    def next_ping(self) -> float | None:
        """When the next ping is due, monotonic seconds."""
        return next(iter(self._ping_due.values()), None)

    def ping(self) -> None:
        """A comment to everyone whose time has come, a few hundred a turn."""
        for _ in range(min(PINGS_A_TURN, len(self._ping_due))):
            subscriber, due = next(iter(self._ping_due.items()))
            if due > self._loop.now:
                return
            self._ping_due[subscriber] = self._loop.now + self._settings.ping_s
            self._ping_due.move_to_end(subscriber)
            if subscriber.outbox:  # bytes on their way show it as well that the server is there
                continue
            try:
                subscriber.write(_PING_CHUNK if subscriber.chunked else PING)
            except OSError:
                self.drop(subscriber, "reset")
                continue
            self._loop.watch(subscriber)

    def _finish(self, subscriber: Connection, reason: str) -> None:
        """End a subscriber as it should be: what waits, the last chunk, the end of the stream."""
        self._counters.ended[reason] += 1
        self._leave(subscriber)
        subscriber.ending = True
        subscriber.direct = False
        try:
            if subscriber.chunked:
                subscriber.write(LAST_CHUNK)
        except OSError:
            self._loop.forget(subscriber)
            return
        self._loop.watch(subscriber)
        if not subscriber.outbox:
            self._loop.linger(subscriber)

    def _leave(self, subscriber: Connection) -> None:
        for channel in subscriber.channels:
            self._channels.leave(channel, subscriber, self._loop.now)
        subscriber.channels = ()
        del self._all[subscriber]
        self._ping_due.pop(subscriber, None)
        self._end_due.pop(subscriber, None)
