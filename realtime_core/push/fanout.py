"""Fan-out: passes that write what waits for a channel to its subscribers, one send each.

A pass over a big channel takes time. Every few hundred sends it looks at the sockets, so that publishes are taken in
meanwhile; what has come for the channel by the end of the pass goes out together in the next one. Nothing waits when
nothing is queued.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from realtime_core.push.connection import Entry
from realtime_core.push.wire_format import chunk, chunk_head_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.push.accounts import Accounts
    from realtime_core.push.channels import Channel, Channels
    from realtime_core.push.connection import Connection
    from realtime_core.push.loop import Loop
    from realtime_core.push.metrics import Counters
    from realtime_core.push.subscribers import Subscribers
    from realtime_core.push.wire_format import Event

LOOK_EVERY: Final = 256  # sends: about 2 ms
MOST_TOGETHER: Final = 65_536  # bytes that one pass sends to a subscriber


class Fanout:
    """The channels for which something waits, first come, first served."""

    def __init__(
        self,
        channels: Channels[Connection],
        counters: Counters,
        accounts: Accounts,
        subscribers: Subscribers,
        loop: Loop,
    ) -> None:
        self._channels = channels
        self._counters = counters
        self._accounts = accounts
        self._subscribers = subscribers
        self._loop = loop
        self._ready: deque[Channel[Connection]] = deque()
        self._until_look = LOOK_EVERY

    def announce(self, channel: Channel[Connection]) -> None:
        """Something waits for a channel for which nothing did."""
        self._ready.append(channel)

    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._ready

    def turn(self) -> None:
        """One pass over each channel that is ready now; those that become ready meanwhile have the next turn."""
        for _ in range(len(self._ready)):
            channel = self._ready.popleft()
            if self._pass(channel):
                self._ready.append(channel)

    def _pass(self, channel: Channel[Connection]) -> bool:
        """Send what waits for a channel; whether there was more than goes together."""
        since = channel.waiting_since
        before, events = self._channels.take(channel, MOST_TOGETHER)
        if not events:  # its subscribers have left
            return False
        more = bool(channel.waiting)
        whole = self._send(list(channel.subscribers.items()), before, events)
        self._count(events, whole)
        self._counters.fanned_out(monotonic() - since)
        if channel.deleting and not more:
            for subscriber in list(channel.subscribers):
                self._subscribers.farewell(subscriber, channel)
        return more

    def _send(self, subscribers: list[tuple[Connection, int]], before: int, events: list[Event]) -> int:
        """Send events, the first of which follows number ``before``; how many got or have queued all of them.

        ``subscribers`` is a copy: they come and go while this looks at the sockets. Who has left has no channels.
        """
        payload = b"".join([event.payload for event in events])
        frame = chunk(payload)
        size = len(frame)
        entry = Entry(frame, events, chunk_head_bytes(len(payload)))
        whole = 0
        until_look = self._until_look
        for subscriber, joined in subscribers:
            if subscriber.direct and joined <= before:
                try:
                    taken = subscriber.send(frame)
                except BlockingIOError:
                    taken = 0
                except OSError:
                    self._subscribers.drop(subscriber, "reset")
                    continue
                whole += 1
                if taken != size:
                    subscriber.keep(entry, taken)
                    self._loop.watch(subscriber)
            elif subscriber.channels and self._send_aside(subscriber, events, max(0, joined - before)):
                whole += 1
            until_look -= 1
            if until_look <= 0:
                until_look = LOOK_EVERY
                self._loop.look(0.0)
        self._until_look = until_look
        return whole

    def _send_aside(self, subscriber: Connection, events: list[Event], known: int) -> bool:
        """Send to one that is not direct, or joined after the first ``known`` events; whether it got all of them."""
        if known == 0:
            return self._subscribers.deliver(subscriber, events)
        missed = events[known:]
        if missed and self._subscribers.deliver(subscriber, missed):
            self._count(missed, 1)
        return False

    def _count(self, events: Sequence[Event], subscribers: int) -> None:
        self._counters.sends += subscribers
        self._counters.deliveries += subscribers * len(events)
        self._accounts.sent(events, subscribers)
