"""The canary: a subscriber of our own, who says which events reached where subscribers are. Uses gevent's sockets."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.event import Event as Flag

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from realtime_core.publish.events import Event

log = logging.getLogger(__name__)
MAX_CHANNELS: Final = 1_024
OK: Final = 200
LOOK_S: Final = 0.05
# The id stands first in every event's line; an engine's own ids in front of it differ.
_ID: Final = re.compile(rb'data: ?\{"id":"([A-Za-z0-9_.:-]{1,128})"')


class Subscription:
    """One channel's stream, read by a greenlet for as long as it is kept."""

    def __init__(self, canary: Canary, channel: str) -> None:
        self.decided = Flag()  # it reads, or never will
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
        """End it."""
        self._greenlet.kill()

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
            self.decided.set()
            while line := reply.readline():
                match = _ID.match(line)
                if match:
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
            channels: most subscriptions at a time; the one that was not asked about for longest ends first.

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
        self._limit = channels
        self._subscriptions: OrderedDict[str, Subscription] = OrderedDict()
        self._awaited: dict[tuple[str, str], bool] = {}
        self._news = Flag()

    def request(self, channel: str) -> bytes:
        """What asks for a channel's stream."""
        head = f"GET {self._prefix}{channel} HTTP/1.1\r\nHost: {self._host}\r\nAccept: text/event-stream\r\n\r\n"
        return head.encode("ascii")

    def saw(self, channel: str, event_id: str) -> None:
        """An event came in."""
        if (channel, event_id) in self._awaited:
            self._awaited[channel, event_id] = True
            self._news.set()

    def expect(self, events: Sequence[Event]) -> None:
        """These are about to be published: listen to their channels. Waits until it does, ``connect_s`` at the most."""
        self._awaited.update({(event.channel, event.id): False for event in events})
        asked = {event.channel for event in events}
        for channel in asked:
            known = self._subscriptions.get(channel)
            if known is None or known.dead:
                self._make_room(asked)
                if len(self._subscriptions) >= self._limit and known is None:
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
        keys = [(event.channel, event.id) for event in events]
        while not all(self._awaited.get(key) for key in keys):
            left_s = until - time.monotonic()
            if left_s <= 0 or not any(
                channel in self._subscriptions and self._subscriptions[channel].reading for channel, _ in keys
            ):
                break
            self._news.clear()
            self._news.wait(min(left_s, LOOK_S))  # others wait for the same flag
        found = [self._awaited.pop(key, False) for key in keys]
        self.seen_total += sum(found)
        self.unseen_total += len(found) - sum(found)
        return found

    def forget(self, events: Sequence[Event]) -> None:
        """These were not published: expect them no longer."""
        for event in events:
            self._awaited.pop((event.channel, event.id), None)

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()

    def _make_room(self, asked: Collection[str]) -> None:
        """End the subscription that was not asked about for longest, if nobody waits for it."""
        if len(self._subscriptions) < self._limit:
            return
        waited_for = {channel for channel, _ in self._awaited}
        for channel, subscription in self._subscriptions.items():
            if channel not in asked and channel not in waited_for:
                subscription.close()
                del self._subscriptions[channel]
                return
