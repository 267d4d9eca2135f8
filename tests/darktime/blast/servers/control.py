"""The control port: what the server counted, and commands, without disturbing either count or load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.darktime.blast.servers.loop import IN, Loop
from tests.darktime.blast.servers.replies import NOT_FOUND, reply
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.door import Door
    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.requests import Head


class Control(Service):
    """``GET /__counters`` tells counts and gauges, ``POST /__reset`` begins to count anew, ``POST /__NAME`` commands."""

    def __init__(self, loop: Loop, options: argparse.Namespace, door: Door) -> None:
        super().__init__(loop, options)
        self._door = door

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        told = self._told(head)
        if told is None:
            link.answer(404, NOT_FOUND)
        else:
            link.answer(200, reply(200, json.dumps(told).encode(), "Content-Type: application/json"))

    def _told(self, head: Head) -> dict[str, Any] | None:
        service = self._door.service
        name = head.path.decode("ascii", "replace").removeprefix("/__")
        if (head.method, name) == (b"GET", "counters"):
            return counters(self._door)
        if head.method != b"POST":
            return None
        if name == "reset":
            service.counts.clear()
            service.loop.lateness_max_s = 0.0
            return {}
        return service.command(name, head)


def counters(door: Door) -> dict[str, float]:
    """Everything that is counted or measured, by name."""
    service = door.service
    waiting = sum(link.waiting for link in door.links.values())
    return {
        "requests": 0,
        "connections": 0,
        "abandoned": 0,
        "malformed": 0,
        **service.counts,
        "open": len(door.links),
        "waiting": waiting,
        "lateness_max_us": round(service.loop.lateness_max_s * 1e6),
        **service.gauges(),
    }


class SideLoop(Loop):
    """A loop inside another: its descriptors can be served apart while the outer one is held up."""

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._epoll.fileno()

    def turn(self, _mask: int = IN) -> None:
        """Do what is there."""
        for fd, mask in self._epoll.poll(0, 64):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(mask)
