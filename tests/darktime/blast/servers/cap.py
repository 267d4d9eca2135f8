"""Serves at most N connections; what happens to the rest is the fault: 503, RST, or SYNs that nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import OK, reply
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.door import Door
    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head

_FULL = reply(503, b"", "Connection: close")


class Cap(Service):
    """``--above drop``: the kernel's queue shrinks as room goes, so N connections stand, and one more not accepted."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, default=2000)
        parser.add_argument("--above", choices=["503", "reset", "drop"], default="503")

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._inside: set[Link] = set()
        self._most = 0

    def listening(self, door: Door) -> None:
        if self.options.above == "drop":
            door.room = lambda: self.options.limit - len(self._inside)
            door.narrow(self.options.limit - 1)

    def opened(self, link: Link) -> None:
        if len(self._inside) < self.options.limit:
            self._inside.add(link)
            self._most = max(self._most, len(self._inside))
            return
        self.counts["refused"] += 1
        if self.options.above == "reset":
            link.reset()

    def closed(self, link: Link) -> None:
        self._inside.discard(link)

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        if link in self._inside:
            link.answer(200, OK)
        else:
            link.answer(503, _FULL, keep=False)

    def gauges(self) -> dict[str, float]:
        return {"inside": len(self._inside), "inside_most": self._most}
