"""A push server on HttpPushStreamModule's interface, with faults in what it delivers, how and when."""

from __future__ import annotations

import json
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.darktime.blast.servers.replies import EVENT_STREAM, NOT_FOUND, reply
from tests.darktime.blast.servers.requests import argument
from tests.darktime.blast.servers.service import Service
from tests.darktime.blast.servers.shares import Every
from tests.darktime.blast.servers.sse_channels import Channel, Event
from tests.darktime.blast.servers.sse_delivery import Delivery
from tests.darktime.blast.servers.sse_options import add_options, form_of
from tests.darktime.blast.servers.sse_order import Disorder, Fate

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head

_JSON = "Content-Type: application/json"
_FULL = reply(503, b"", "Connection: close")


class _Subscriber:
    """What a stream's link carries: from which number on each channel owes it events, its own disorder."""

    __slots__ = ("disorder", "joined")

    def __init__(self, disorder: Disorder[Event]) -> None:
        self.joined: dict[Channel, int] = {}
        self.disorder = disorder


class Sse(Service):
    """``POST /pub?id=CH``, ``GET /ev/CH[/CH2]``, ``/channels-stats``; ``kill`` ends all streams.

    Counts ``published``, ``deliveries`` (events times subscribers written to, doubles included), and of deliveries
    those ``dropped``, ``duplicated`` and ``swapped`` (pairs); ``subscribed``, ``resumed`` (with Last-Event-ID),
    ``replayed``, ``replay_dropped`` (by the fault), ``replay_gone`` (no longer kept); ``killed``; ``turned_away``.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        add_options(parser)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._form = form_of(options)
        self._epoch: bytes = options.epoch.encode("ascii")
        self._channels: dict[str, Channel] = {}
        self._streams: dict[Link, None] = {}
        self._replay_drops = Every(options.replay_drop_every)
        self._began = monotonic()
        self._most = 0  # streams at once
        self._delivery = Delivery(
            loop,
            self.counts,
            how=options.cut,
            pause_s=options.cut_pause_ms / 1000,
            slow=options.slow,
            buffer_bytes=options.buffer_bytes,
        )
        self._disorder()  # refuses what cannot be

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        if head.path == b"/pub" and head.method in (b"POST", b"PUT") and argument(head, b"id"):
            self._publish(link, head, body)
        elif head.path.startswith(b"/ev/") and head.method == b"GET":
            self._subscribe(link, head)
        elif head.path == b"/channels-stats":
            self._statistics(link, head)
        else:
            link.answer(404, NOT_FOUND)

    def closed(self, link: Link) -> None:
        if link in self._streams:
            del self._streams[link]
            assert isinstance(link.state, _Subscriber)
            for channel in link.state.joined:
                channel.subscribers.pop(link, None)

    def gauges(self) -> dict[str, float]:
        return {
            "streams": len(self._streams),
            "inside_most": self._most,
            "channels": len(self._channels),
            "buffered": sum(len(link.out) for link in self._streams),
            "buffered_most": self._delivery.buffered_most,
        }

    def command(self, name: str, head: Head) -> dict[str, Any] | None:
        if name != "kill":
            return None
        how = argument(head, b"how") or b"close"
        streams = list(self._streams)
        for link in streams:
            if how == b"reset":
                link.reset()
            elif how == b"end":
                self._delivery.end(link)
            else:
                link.close()
        self.counts["killed"] += len(streams)
        return {"killed": len(streams)}

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name, self.options.history, self._disorder())
        return channel

    def _disorder(self, start: int = 0) -> Disorder[Event]:
        options = self.options
        return Disorder(
            drop=options.drop_every, duplicate=options.duplicate_every, swap=options.swap_every, start=start
        )

    def _publish(self, link: Link, head: Head, body: bytes) -> None:
        channel = self._channel(argument(head, b"id").decode("ascii", "replace"))
        number = channel.number = channel.number + 1
        event_id = head.headers.get(b"event-id") or b"%b-%d" % (self._epoch, number)
        event = Event(number, event_id, self._form.event(number, b"" if self.options.no_ids else event_id, body))
        channel.history.append(event)
        self.counts["published"] += 1
        link.answer(200, reply(200, json.dumps(channel.figures()).encode() + b"\r\n", _JSON))
        if self.options.delay_ms:
            self.loop.at(monotonic() + self.options.delay_ms / 1000, self._deliver, channel, event)
        else:
            self._deliver(channel, event)

    def _deliver(self, channel: Channel, event: Event) -> None:
        """One pass of fan-out."""
        fate = channel.disorder.take(event) if self.options.scope == "event" else None
        serial_s = self.options.serial_us / 1e6
        next_at = monotonic()
        for link in list(channel.subscribers):
            if serial_s:
                next_at += serial_s
                while monotonic() < next_at:
                    pass
            self._give(link, channel, event, fate)
        if self.options.swap_every:
            self.loop.at(monotonic() + self.options.hold_ms / 1000, self._release, channel, event)

    def _give(self, link: Link, channel: Channel, event: Event, fate: Fate[Event] | None) -> None:
        subscriber = link.state
        assert isinstance(subscriber, _Subscriber)
        joined = subscriber.joined.get(channel)
        if joined is None or joined >= event.number:  # gone meanwhile, or it came after the event was published
            return
        events, dropped, duplicated, swapped = subscriber.disorder.take(event) if fate is None else fate
        if events and events[-1].number <= joined:  # what was held back is older than this stream
            events, swapped = events[:-1], 0
        counts = self.counts
        counts["dropped"] += dropped
        counts["duplicated"] += duplicated
        counts["swapped"] += swapped
        counts["deliveries"] += len(events)
        for one in events:
            self._delivery.write(link, one.wire, self.side)

    def _release(self, channel: Channel, event: Event) -> None:
        """No successor came in time for what was held back."""
        if self.options.scope == "event":
            if channel.disorder.held is event:
                fate = channel.disorder.release()
                for link in list(channel.subscribers):
                    self._give(link, channel, event, fate)
            return
        for link in list(channel.subscribers):
            subscriber = link.state
            assert isinstance(subscriber, _Subscriber)
            if subscriber.disorder.held is event:
                self._give(link, channel, event, subscriber.disorder.release())

    def _subscribe(self, link: Link, head: Head) -> None:
        names = [name for name in head.path.decode("ascii", "replace")[4:].split("/") if name]
        if not names:
            link.answer(400, reply(400))
            return
        if 0 < self.options.most <= len(self._streams):
            self.counts["turned_away"] += 1
            if self.options.above == "reset":
                link.reset()
            else:
                link.answer(503, _FULL, keep=False)
            return
        self.counts["subscribed"] += 1
        start = link.number if self.options.scope == "delivery" else 0
        subscriber = link.state = _Subscriber(self._disorder(start))
        self._streams[link] = None
        self._most = max(self._most, len(self._streams))
        if self.options.send_buffer:
            link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
        link.begin(200, EVENT_STREAM + self._form.greeting(self.options.retry_ms))
        last_id = head.headers.get(b"last-event-id", b"")
        self.counts["resumed"] += bool(last_id)
        for name in names:
            channel = self._channel(name)
            channel.subscribers[link] = None
            subscriber.joined[channel] = channel.number
            if last_id:
                self._replay(link, channel, last_id)

    def _replay(self, link: Link, channel: Channel, last_id: bytes) -> None:
        replay = channel.after(last_id, self._epoch)
        self.counts["replay_gone"] += replay.lost
        for event in replay.events:
            if self._replay_drops.hits():
                self.counts["replay_dropped"] += 1
            else:
                self.counts["replayed"] += 1
                self._delivery.write(link, event.wire, self.side)

    def _statistics(self, link: Link, head: Head) -> None:
        name = argument(head, b"id").decode("ascii", "replace")
        if name and name not in self._channels:
            link.answer(404, NOT_FOUND)
            return
        told = self._channels[name].figures() if name else self._summary()
        link.answer(200, reply(200, json.dumps(told).encode() + b"\r\n", _JSON))

    def _summary(self) -> dict[str, object]:
        channels = self._channels.values()
        return {
            "hostname": socket.gethostname(),
            "time": "",
            "channels": len(self._channels),
            "wildcard_channels": 0,
            "published_messages": sum(channel.number for channel in channels),
            "stored_messages": sum(len(channel.history) for channel in channels),
            "messages_in_trash": 0,
            "channels_in_delete": 0,
            "channels_in_trash": 0,
            "subscribers": sum(len(channel.subscribers) for channel in channels),
            "uptime": int(monotonic() - self._began),
            "by_worker": [],
        }
