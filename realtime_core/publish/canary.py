"""The canary: a subscriber of our own, who says which events reached where subscribers are. Uses gevent's sockets."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict, deque
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.event import Event as Flag

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from realtime_core.publish.events import Event

log = logging.getLogger(__name__)
MAX_CHANNELS: Final = 1_024
OK: Final = 200
LOOK_S: Final = 0.05
# More than two of the engines' pings (25 s): a stream without them is opened anew before it is relied on.
SILENT_S: Final = 60.0
# Others' batches are published and seen meanwhile, and each of those has limits of its own.
ROOM_S: Final = 60.0
CLOSE_S: Final = 1.0
# The id stands first in every event's line; an engine's own ids in front of it differ.
_ID: Final = re.compile(rb'data: ?\{"id":"([A-Za-z0-9_.:-]{1,128})"')


class Subscription:
    """One channel's stream, read by a greenlet for as long as it is kept.

    Attributes:
        decided: it reads, or never will.
        heard: when the last line came in, whatever it said, on the monotonic clock.
        told: when the last event did; 0: none.
    """

    def __init__(self, canary: Canary, channel: str) -> None:
        self.decided = Flag()
        self.heard = time.monotonic()
        self.told = 0.0
        self._open = False
        self._canary = canary
        self._channel = channel
        self._greenlet = gevent.spawn(self._run)

    @property
    def reading(self) -> bool:
        """Whether its events come in."""
        return self._open and not self._greenlet.dead

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return bool(self._greenlet.dead)

    def close(self) -> None:
        """End it, without waiting for that: another greenlet would find the canary half changed."""
        self.decided.set()
        self._greenlet.kill(block=False)

    def ended(self, timeout_s: float) -> None:
        """Wait until it has."""
        self._greenlet.join(timeout_s)

    def _run(self) -> None:
        link: Any = None
        reply: HTTPResponse | None = None
        try:
            link = socket.create_connection(self._canary.address, timeout=self._canary.connect_s)
            link.sendall(self._canary.request(self._channel))
            reply = HTTPResponse(link)
            reply.begin()
            if reply.status != OK:
                log.warning("the canary was refused at channel %s: %d", self._channel, reply.status)
                return
            link.settimeout(None)
            self._open = True
            self.heard = time.monotonic()
            self.decided.set()
            while line := reply.readline():
                self.heard = time.monotonic()
                match = _ID.match(line)
                if match:
                    self.told = self.heard
                    self._canary.saw(self._channel, match[1].decode())
        except (OSError, HTTPException) as error:
            log.warning("the canary lost channel %s: %s", self._channel, error)
        finally:
            self.decided.set()
            if reply is not None:
                reply.close()  # it holds the socket too
            if link is not None:
                link.close()


class Canary:
    """Subscribes where users do, to the channels it is asked about. Greenlets may share it; ``close`` it at the end.

    Attributes:
        seen_total: events that came in while they were waited for.
        unseen_total: events that did not come in time, or whose channel could not be listened to.
    """

    def __init__(self, url: str, *, wait_s: float = 2.0, connect_s: float = 1.0, channels: int = MAX_CHANNELS) -> None:
        """Describe it; nothing is opened.

        Args:
            url: ``http://HOST[:PORT]/PREFIX/``, to which a channel is appended: ``http://127.0.0.1:8080/ev/``.
            wait_s: how long an event may take from its publishing until it is seen.
            connect_s: how long a subscription may take to open.
            channels: most subscriptions at a time; the one that was not asked about for longest ends first, and none that
                is waited on: who needs more than are left waits for the others.

        Raises:
            ConfigurationError: one of these cannot be.
        """
        split = urlsplit(url)
        if split.scheme != "http" or not split.hostname or not url.isascii() or not url.isprintable() or " " in url:
            raise ConfigurationError(
                f"canary {url!r:.200}: give http://HOST[:PORT]/PREFIX/ of the subscribers' streams"
            )
        if not wait_s > 0 or not connect_s > 0 or channels < 1:
            raise ConfigurationError(f"canary: wait_s={wait_s}, connect_s={connect_s}, channels={channels}: above 0")
        self.address = (split.hostname, split.port or 80)
        self.connect_s = connect_s
        self.wait_s = wait_s
        self.seen_total = 0
        self.unseen_total = 0
        self._host = split.netloc.rpartition("@")[2]
        self._prefix = split.path or "/"
        self.channels = channels
        self._subscriptions: OrderedDict[str, Subscription] = OrderedDict()
        # By channel and id, for each that waits (after a lease that ended these may be two batches): since when, None once it came.
        self._awaited: dict[tuple[str, str], dict[int, float | None]] = {}
        self._in_line: deque[object] = deque()  # who waits for room, in order
        self._news = Flag()
        self._freed = Flag()

    def request(self, channel: str) -> bytes:
        """What asks for a channel's stream."""
        head = f"GET {self._prefix}{channel} HTTP/1.1\r\nHost: {self._host}\r\nAccept: text/event-stream\r\n\r\n"
        return head.encode("ascii")

    def saw(self, channel: str, event_id: str) -> None:
        """An event came in."""
        waiting = self._awaited.get((channel, event_id))
        if waiting is not None:
            waiting.update(dict.fromkeys(waiting))
            self._news.set()

    def expect(self, events: Sequence[Event], touch: Callable[[], None] = lambda: None) -> None:
        """These are about to be published: listen to their channels. Waits until it does, ``connect_s`` at the most.

        Before that it waits for room, where other batches have it, a minute at the most, and calls ``touch`` meanwhile. An event
        whose channel found none is not seen; so one call must not name more channels than there may be.
        """
        asked = {event.channel for event in events}
        self._wait_for_room(asked, touch)
        # Nothing from here to the wait lets another greenlet run.
        now = time.monotonic()
        of_others = self._in_flight()
        for event in events:
            self._awaited.setdefault((event.channel, event.id), {})[id(event)] = now
        in_flight = of_others | asked
        for channel in asked:
            known = self._subscriptions.get(channel)
            silent = known is not None and known.heard < now - SILENT_S and channel not in of_others
            if known is not None and (known.dead or silent):
                self._end(channel)
            if channel not in self._subscriptions:
                if not self._make_room(in_flight):
                    continue
                self._subscriptions[channel] = Subscription(self, channel)
            self._subscriptions.move_to_end(channel)
        waiting = [self._subscriptions[channel].decided for channel in asked if channel in self._subscriptions]
        with gevent.Timeout(self.connect_s, False):
            for decided in waiting:
                decided.wait()

    def seen(self, events: Sequence[Event]) -> list[bool]:
        """Which of the expected events came in, within ``wait_s``; they are expected no longer."""
        until = time.monotonic() + self.wait_s
        while missing := [event for event in events if self._waits(event) is not None]:
            left_s = until - time.monotonic()
            if left_s <= 0 or not any(self._reads(event.channel) for event in missing):
                break
            self._news.clear()
            self._news.wait(min(left_s, LOOK_S))  # others wait for the same flag
        found = [self._waits(event) is None for event in events]
        since = {event.channel: self._waits(event) or 0.0 for event in missing}
        self.forget(events)
        self.seen_total += sum(found)
        self.unseen_total += len(found) - sum(found)
        self._distrust(since)
        return found

    def forget(self, events: Sequence[Event]) -> None:
        """Expect these no longer, whatever became of them."""
        for event in events:
            waiting = self._awaited.get((event.channel, event.id), {})
            waiting.pop(id(event), None)
            if not waiting:
                self._awaited.pop((event.channel, event.id), None)
        self._freed.set()

    def close(self) -> None:
        """End all subscriptions."""
        subscriptions = list(self._subscriptions.values())
        self._subscriptions.clear()
        for subscription in subscriptions:
            subscription.close()
        until = time.monotonic() + CLOSE_S
        for subscription in subscriptions:
            subscription.ended(max(0.0, until - time.monotonic()))

    def _waits(self, event: Event) -> float | None:
        """Since when it is waited for, None once it came in; what was never expected did not."""
        return self._awaited.get((event.channel, event.id), {}).get(id(event), 0.0)

    def _reads(self, channel: str) -> bool:
        return channel in self._subscriptions and self._subscriptions[channel].reading

    def _in_flight(self) -> set[str]:
        return {channel for channel, _ in self._awaited}

    def _end(self, channel: str) -> None:
        self._subscriptions.pop(channel).close()

    def _wait_for_room(self, asked: Collection[str], touch: Callable[[], None]) -> None:
        """Wait until all of ``asked`` fit beside what others wait on; one after another, so that nobody is passed by."""
        place = object()
        self._in_line.append(place)
        until = time.monotonic() + ROOM_S
        try:
            while self._in_line[0] is not place or len(self._in_flight().union(asked)) > self.channels:
                if not self._awaited and self._in_line[0] is place:
                    return  # more than there is room for, and it will not get better
                if time.monotonic() > until:
                    log.warning("the canary listens to %d channels for others: no room for more", self.channels)
                    return
                touch()
                self._freed.clear()
                self._freed.wait(LOOK_S)
        finally:
            self._in_line.remove(place)
            self._freed.set()

    def _make_room(self, in_flight: Collection[str]) -> bool:
        """End the subscription that was not asked about for longest, of those nobody waits on; whether there is room."""
        if len(self._subscriptions) >= self.channels:
            idle = next((channel for channel in self._subscriptions if channel not in in_flight), None)
            if idle is None:
                return False
            self._end(idle)
        return True

    def _distrust(self, missing: Mapping[str, float]) -> None:
        """End what brought no event at all since one was waited for: it may be half open, and another attempt needs a whole one."""
        in_flight = self._in_flight()
        for channel, since in missing.items():
            if self._reads(channel) and channel not in in_flight and self._subscriptions[channel].told < since:
                self._end(channel)
