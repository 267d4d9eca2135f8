"""What each resource answers: publishing, subscribing, statistics, metrics. Acts on the channels, touches no socket."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from realtime_core.push import stats
from realtime_core.push.metrics import CONTENT_TYPE, Exporter
from realtime_core.push.replies import JSON, PLAIN, refusal_reply, reply
from realtime_core.push.request import Refusal
from realtime_core.push.targets import Wanted, read_channels, read_target
from realtime_core.push.wire_format import DELETED, Event, event_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_core.push.accounts import Accounts
    from realtime_core.push.channels import Channel, Channels
    from realtime_core.push.connection import Connection
    from realtime_core.push.metrics import Counters
    from realtime_core.push.request import Request
    from realtime_core.push.settings import Settings
    from realtime_core.push.targets import Target

EMPTY: Final = Refusal(status=400, explain="Empty post requests are not allowed.")
NOT_LOCAL: Final = Refusal(status=403, explain="Only processes of this machine may ask for this.")
FULL: Final = Refusal(status=403, explain="Number of channels were exceeded.")
CROWDED: Final = Refusal(status=403, explain="Subscribers limit per channel has been exceeded.")
BAD_TIME: Final = Refusal(status=400, explain="Event-At is not a time in seconds.")
NOT_FOUND: Final = Refusal(status=404)
_TIME: Final = re.compile(rb"[0-9]{1,11}(?:\.[0-9]{1,20})?")


class Subscription(NamedTuple):
    """The connection is to become a subscriber: its channels, and what of their stores it gets first."""

    channels: tuple[Channel[Connection], ...]
    replay: list[Event]


class Endpoints:
    """Answers requests. ``announce`` is told of a channel for which a pass has become due."""

    def __init__(
        self,
        settings: Settings,
        channels: Channels[Connection],
        accounts: Accounts,
        counters: Counters,
        *,
        exporter: Exporter,
        subscribers: Callable[[], int],
        announce: Callable[[Channel[Connection]], None],
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._counters = counters
        self._accounts = accounts
        self._exporter = exporter
        self._subscribers = subscribers
        self._announce = announce
        self._hostname = socket.gethostname()
        self._started = time.monotonic()
        publishing = "GET, POST, PUT, DELETE" if settings.admin else "GET, POST, PUT"
        self._allowed = {"pub": publishing, "ev": "GET", "channels-stats": "GET", "metrics": "GET"}

    def answer(self, request: Request, now: float, *, loopback: bool) -> bytes | Subscription:
        """What a request comes to. ``now`` is monotonic seconds, ``loopback`` whether the peer is on this machine."""
        target = read_target(request.target)
        refused = self._refused(target.route, request.method, loopback=loopback)
        outcome = self._outcome(request, target, now) if refused is None else refused
        if isinstance(outcome, Refusal):
            self._counters.request(target.route, outcome.status)
            return refusal_reply(outcome, modern=request.modern, keep_alive=request.keep_alive)
        self._counters.request(target.route, 200)
        return outcome

    def _refused(self, route: str, method: str, *, loopback: bool) -> Refusal | None:
        """What is refused, or answered, without looking at any channel."""
        allowed = self._allowed.get(route)
        if allowed is None:
            return NOT_FOUND
        if route != "ev" and not loopback:
            return NOT_LOCAL
        if method in allowed.split(", "):
            return None
        asked = method == "OPTIONS" and route in ("pub", "ev")
        return Refusal(status=200 if asked else 405, allow=allowed)

    def _outcome(self, request: Request, target: Target, now: float) -> bytes | Refusal | Subscription:
        if target.route == "metrics":
            return _framed(request, self._exporter.text(), CONTENT_TYPE)
        if target.route == "channels-stats":
            return self._statistics(request, target.pattern, now)
        if isinstance(target.channels, Refusal):
            return target.channels
        if target.route == "ev":
            return self._subscribe(request, target.channels, now)
        if request.method == "GET":
            return self._figures(request, target.channels, now)
        if request.method == "DELETE":
            return self._delete(request, target.channels, now)
        return self._publish(request, target.channels, now)

    def _publish(self, request: Request, wanted: Sequence[Wanted], now: float) -> bytes | Refusal:
        if not request.body:
            return EMPTY
        headers = request.headers
        event_id = headers.get(b"event-id") or None
        at_text = headers.get(b"event-at")
        if at_text and not _TIME.fullmatch(at_text):
            return BAD_TIME
        if not self._channels.room_for([channel_id for channel_id, _ in wanted]):
            return FULL
        at = float(at_text) if at_text else time.time()
        payload = event_bytes(request.body, event_id, headers.get(b"event-type"))
        counted = event_id is not None and self._accounts.counting
        published = []
        for channel_id, _ in wanted:
            channel = self._channels.open(channel_id, now)
            name = f"{channel_id} {event_id.decode('utf-8', 'surrogateescape')}" if counted and event_id else None
            event = Event(name, at, event_id, payload)
            self._accounts.received(event)
            if self._channels.publish(channel, event, now):
                self._announce(channel)
            published.append(channel)
        return self._told(request, published)

    def _subscribe(self, request: Request, wanted: Sequence[Wanted], now: float) -> Subscription | Refusal:
        most = self._settings.max_subscribers_per_channel
        if most:
            for channel_id, _ in wanted:
                existing = self._channels.get(channel_id, now)
                if existing is not None and len(existing.subscribers) >= most:
                    return CROWDED
        if not self._channels.room_for([channel_id for channel_id, _ in wanted]):
            return FULL
        last_event_id = request.headers.get(b"last-event-id")
        channels = []
        replay: list[Event] = []
        for channel_id, backtrack in wanted:
            channel = self._channels.open(channel_id, now)
            channels.append(channel)
            replay += self._channels.replay(channel, backtrack, last_event_id)
        return Subscription(tuple(channels), replay)

    def _delete(self, request: Request, wanted: Sequence[Wanted], now: float) -> bytes | Refusal:
        farewell = Event(None, 0.0, None, event_bytes(request.body or DELETED, None, None))
        removed = 0
        for channel_id, _ in wanted:
            channel = self._channels.remove(channel_id, farewell, now)
            if channel is None:
                continue
            removed += 1
            if len(channel.waiting) == 1:  # the farewell alone: no pass was due before
                self._announce(channel)
        return Refusal(status=200, explain="Channel deleted.") if removed else NOT_FOUND

    def _figures(self, request: Request, wanted: Sequence[Wanted], now: float) -> bytes | Refusal:
        found = [channel for channel_id, _ in wanted if (channel := self._channels.get(channel_id, now)) is not None]
        return self._told(request, found) if found else NOT_FOUND

    def _statistics(self, request: Request, pattern: str, now: float) -> bytes | Refusal:
        if not pattern:
            plain = _plain(request)
            return _framed(request, stats.summary(self._server(), plain=plain), PLAIN if plain else JSON)
        if pattern in ("ALL", "*") or pattern.endswith("*"):
            prefix = "" if pattern == "ALL" else pattern[:-1]
            return self._group(request, self._channels.beginning_with(prefix, now))
        wanted = read_channels(pattern)
        if isinstance(wanted, Refusal):
            return wanted
        return self._figures(request, wanted, now)

    def _told(self, request: Request, channels: Sequence[Channel[Connection]]) -> bytes:
        if len(channels) != 1:
            return self._group(request, channels)
        plain = _plain(request)
        return _framed(request, stats.one_channel(_figures(channels[0]), plain=plain), PLAIN if plain else JSON)

    def _group(self, request: Request, channels: Sequence[Channel[Connection]]) -> bytes:
        plain = _plain(request)
        body = stats.several_channels(self._server(), map(_figures, channels), plain=plain)
        return _framed(request, body, PLAIN if plain else JSON)

    def _server(self) -> stats.ServerFigures:
        return stats.ServerFigures(
            hostname=self._hostname,
            time=time.strftime("%Y-%m-%dT%H:%M:%S"),
            pid=os.getpid(),
            uptime=int(time.monotonic() - self._started),
            channels=len(self._channels),
            published=self._channels.published,
            stored=self._channels.stored_messages,
            subscribers=self._subscribers(),
        )


def _figures(channel: Channel[Connection]) -> stats.ChannelFigures:
    return stats.ChannelFigures(channel.id, channel.published, len(channel.stored), len(channel.subscribers))


def _plain(request: Request) -> bool:
    accept = request.headers.get(b"accept")
    return accept is not None and b"text/plain" in accept


def _framed(request: Request, body: bytes, content_type: str) -> bytes:
    return reply(200, body, content_type=content_type, modern=request.modern, keep_alive=request.keep_alive)
