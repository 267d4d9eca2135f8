"""Answers at once, but does nothing at all for a while again and again."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import OK
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class Stall(Service):
    """Stalls for the last ``--stall-s`` of every ``--every-s``, counted from the first request on."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--stall-s", type=float, default=1.0)
        parser.add_argument("--every-s", type=float, default=10.0)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._began = 0.0
        self._held: list[Link] = []

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        now = monotonic()
        self._began = self._began or now
        every: float = self.options.every_s
        rounds, into = divmod(now - self._began, every)
        if into < every - self.options.stall_s:
            link.answer(200, OK)
            return
        if not self._held:
            self.counts["stalls"] += 1
            self.loop.at(self._began + (rounds + 1) * every, self._go_on)
        self._held.append(link)
        self.counts["held"] += 1

    def gauges(self) -> dict[str, float]:
        return {"queue": len(self._held)}

    def _go_on(self) -> None:
        held, self._held = self._held, []
        for link in held:
            link.answer(200, OK)
