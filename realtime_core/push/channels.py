"""The channels: what was published, is stored, waits for the next pass, and who subscribes. The caller owns the clock.

A channel numbers its events from 1. A subscriber notes the number at which it joined: everything up to it comes out of
the store, everything after it comes live, so that nothing between the two is lost or comes twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_core.push.settings import Settings
    from realtime_core.push.wire_format import Event

INACTIVITY_S: Final = 30.0  # how long a channel without subscribers and stored messages stays

Subscriber = TypeVar("Subscriber")


class Stored(NamedTuple):
    """An event that can be replayed."""

    event: Event
    until: float  # monotonic seconds


class Channel(Generic[Subscriber]):
    """One channel. ``waiting`` are the last events published, those that no pass has begun to send.

    Attributes:
        published: events so far, which is also the number of the last one.
        subscribers: each with the number at which it joined.
        deleting: somebody deleted it: once the waiting has gone out, subscribers leave it.
        waiting_since: when the first of ``waiting`` was taken in, monotonic seconds.
    """

    __slots__ = ("deleting", "id", "published", "stored", "stored_bytes", "subscribers", "waiting", "waiting_since")

    def __init__(self, channel_id: str) -> None:
        self.id = channel_id
        self.published = 0
        self.stored: deque[Stored] = deque()
        self.stored_bytes = 0
        self.subscribers: dict[Subscriber, int] = {}
        self.waiting: deque[Event] = deque()
        self.waiting_since = 0.0
        self.deleting = False

    def take(self, most_bytes: int) -> tuple[int, list[Event]]:
        """Up to ``most_bytes`` of what waits, one event at least; first, the number of the event before them."""
        before = self.published - len(self.waiting)
        taken: list[Event] = []
        room = most_bytes
        while self.waiting and (not taken or len(self.waiting[0].payload) <= room):
            event = self.waiting.popleft()
            taken.append(event)
            room -= len(event.payload)
        return before, taken


class Channels(Generic[Subscriber]):
    """All channels within their bounds.

    Attributes:
        published: events in all, also of channels that are gone.
        waiting_bytes: what waits for a pass, in all channels together.
        stored_messages: what is stored, in all channels together.
        stored_bytes: the same in bytes.
        evicted: messages that had to go early because a bound in bytes was reached.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._channels: dict[str, Channel[Subscriber]] = {}
        # Channels by their last use, the oldest first; those that only have subscribers are not in it.
        self._recent: OrderedDict[str, float] = OrderedDict()
        self._keep_s = max(INACTIVITY_S, settings.store_ttl_s if settings.store else 0.0)
        self.published = 0
        self.waiting_bytes = 0
        self.stored_messages = 0
        self.stored_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, channel_id: str, now: float) -> Channel[Subscriber] | None:
        """The channel, without what has expired in it; None if there is none."""
        channel = self._channels.get(channel_id)
        if channel is not None:
            self._expire(channel, now)
        return channel

    def beginning_with(self, prefix: str, now: float) -> list[Channel[Subscriber]]:
        """All channels whose ids begin so, without what has expired in them."""
        found = [channel for channel_id, channel in self._channels.items() if channel_id.startswith(prefix)]
        for channel in found:
            self._expire(channel, now)
        return found

    def room_for(self, channel_ids: Iterable[str]) -> bool:
        """Whether those of them that do not exist may still be made."""
        missing = sum(1 for channel_id in channel_ids if channel_id not in self._channels)
        return not missing or len(self._channels) + missing <= self._settings.max_channels

    def open(self, channel_id: str, now: float) -> Channel[Subscriber]:
        """The channel, made if need be (ask ``room_for`` first); counts as a use of it."""
        channel = self._channels.get(channel_id)
        if channel is None:
            channel = self._channels[channel_id] = Channel(channel_id)
        else:
            self._expire(channel, now)
        self._use(channel, now)
        return channel

    def publish(self, channel: Channel[Subscriber], event: Event, now: float) -> bool:
        """Number, store and queue an event; True if it is the first that waits, so that a pass must be asked for."""
        self.published += 1
        channel.published += 1
        if self._settings.store:
            self._store(channel, event, now)
        if not channel.subscribers:
            return False
        first = not channel.waiting
        if first:
            channel.waiting_since = now
        channel.waiting.append(event)
        self.waiting_bytes += len(event.payload)
        return first

    def take(self, channel: Channel[Subscriber], most_bytes: int) -> tuple[int, list[Event]]:
        """What the next pass over a channel sends; see :meth:`Channel.take`."""
        before, taken = channel.take(most_bytes)
        self.waiting_bytes -= sum(len(event.payload) for event in taken)
        return before, taken

    def replay(self, channel: Channel[Subscriber], backtrack: int | None, last_event_id: bytes | None) -> list[Event]:
        """What of the store a newcomer gets: the last ``backtrack``, or all after the first with that id, or none."""
        events = [stored.event for stored in channel.stored]
        if backtrack is not None:
            return events[-backtrack:] if backtrack else []
        if last_event_id:
            for index, event in enumerate(events):
                if event.event_id == last_event_id:
                    return events[index + 1 :]
        return []

    def leave(self, channel: Channel[Subscriber], subscriber: Subscriber, now: float) -> None:
        """A subscriber is gone from a channel; without subscribers nothing waits any more."""
        channel.subscribers.pop(subscriber, None)
        if not channel.subscribers:
            self.waiting_bytes -= sum(len(event.payload) for event in channel.waiting)
            channel.waiting.clear()
            if self._channels.get(channel.id) is channel:
                self._use(channel, now)

    def remove(self, channel_id: str, farewell: Event, now: float) -> Channel[Subscriber] | None:
        """Forget a channel and what it stored; its subscribers stay with the object, ``farewell`` waits for them."""
        channel = self._channels.pop(channel_id, None)
        if channel is None:
            return None
        self._recent.pop(channel_id, None)
        while channel.stored:
            self._drop_oldest(channel)
        channel.deleting = True
        if channel.subscribers:
            if not channel.waiting:
                channel.waiting_since = now
            channel.published += 1
            channel.waiting.append(farewell)
            self.waiting_bytes += len(farewell.payload)
        return channel

    def sweep(self, now: float, most: int = 1000) -> None:
        """Let go what nobody has used for long enough, at most ``most`` channels a time."""
        for _ in range(most):
            channel_id = next(iter(self._recent), None)
            if channel_id is None or self._recent[channel_id] + self._keep_s > now:
                return
            del self._recent[channel_id]
            channel = self._channels[channel_id]
            self._expire(channel, now)
            if not channel.subscribers:
                del self._channels[channel_id]

    def _use(self, channel: Channel[Subscriber], now: float) -> None:
        self._recent[channel.id] = now
        self._recent.move_to_end(channel.id)

    def _store(self, channel: Channel[Subscriber], event: Event, now: float) -> None:
        settings = self._settings
        if len(event.payload) > min(settings.store_channel_bytes, settings.store_bytes):
            self.evicted += 1
            return
        channel.stored.append(Stored(event, now + settings.store_ttl_s))
        channel.stored_bytes += len(event.payload)
        self.stored_messages += 1
        self.stored_bytes += len(event.payload)
        while len(channel.stored) > settings.store:
            self._drop_oldest(channel)
        while channel.stored_bytes > settings.store_channel_bytes:
            self._drop_oldest(channel)
            self.evicted += 1
        while self.stored_bytes > settings.store_bytes:
            self._evict_least_used()

    def _evict_least_used(self) -> None:
        for channel_id in self._recent:
            channel = self._channels[channel_id]
            if channel.stored:
                self._drop_oldest(channel)
                self.evicted += 1
                return
            # An empty one is not asked again: it is at the end now, or gone with the next sweep.
            self._recent.move_to_end(channel_id)
            return

    def _expire(self, channel: Channel[Subscriber], now: float) -> None:
        while channel.stored and channel.stored[0].until <= now:
            self._drop_oldest(channel)

    def _drop_oldest(self, channel: Channel[Subscriber]) -> None:
        payload_bytes = len(channel.stored.popleft().event.payload)
        channel.stored_bytes -= payload_bytes
        self.stored_messages -= 1
        self.stored_bytes -= payload_bytes
