"""Streams of the dark instance that are held: read until production's own end, and then for as long as a farewell lasts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.split.relay.link import Link
    from darktime.split.relay.outcomes import Outcomes


class HeldStreams:
    """By the copy's id, at most ``most``. ``cut`` counts those that the dark instance ended before production did.

    It closes no connection: where one has ended it says so.
    """

    def __init__(self, outcomes: Outcomes, *, most: int, farewell_s: float) -> None:
        self._outcomes = outcomes
        self._most = most
        self._farewell_s = farewell_s
        self._streams: dict[str, Link] = {}
        self._leaving: dict[int, Link] = {}
        self.cut = 0

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._streams

    @property
    def full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._streams) >= self._most

    @property
    def gone(self) -> bool:
        """Whether none is on its way to its end any more."""
        return not self._leaving

    def hold(self, link: Link) -> None:
        """Keep a stream until production's ends."""
        self._streams[link.request_id] = link

    def get(self, request_id: str) -> Link | None:
        """The stream that is held for this copy."""
        return self._streams.get(request_id) if self._streams else None

    def all(self) -> list[Link]:
        """Those that are held."""
        return list(self._streams.values())

    def read(self, link: Link, data: bytes) -> bool:
        """Take what came; False: the stream has ended."""
        assert link.stream is not None
        if data:
            events = link.stream.feed(data)
            if events:
                self._outcomes.events(link.request_id, events)
        return bool(data) and not link.stream.done

    def let_go(self, link: Link, now: float) -> bool:
        """Production's has ended: close our half, and read on for a while; False: the connection has ended."""
        del self._streams[link.request_id]
        link.deadline = now + self._farewell_s
        self._leaving[link.fd] = link
        try:
            link.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def overdue(self, now: float) -> list[Link]:
        """Those whose farewell has lasted long enough."""
        return [link for link in self._leaving.values() if now > link.deadline]

    def ended(self, link: Link) -> None:
        """The connection ends before it was let go, if it was held."""
        self.cut += link.request_id in self._streams

    def forget(self, link: Link) -> None:
        """The connection is closed."""
        self._streams.pop(link.request_id, None)
        self._leaving.pop(link.fd, None)
