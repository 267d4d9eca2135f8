"""One worker with a fixed (or seeded) service time and a queue: its capacity is 1 / service time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.darktime.blast.servers.delays import FORMS, delays
from tests.darktime.blast.servers.replies import OK, UNAVAILABLE
from tests.darktime.blast.servers.service import Service
from tests.darktime.blast.servers.worker import Worker

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class Fifo(Service):
    """``--queue``: how many may wait (above it 503 at once); 0: any number."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--service", default="constant:2", metavar="WORDS", help=FORMS)
        parser.add_argument("--queue", type=int, default=0)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._times = delays(options.service, options.seed)
        self._worker: Worker[Link] = Worker(loop, time_of=lambda _link, _behind: next(self._times), done=self._done)

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        if self.options.queue and len(self._worker.queue) >= self.options.queue:
            link.answer(503, UNAVAILABLE)
        else:
            self._worker.add(link)

    def gauges(self) -> dict[str, float]:
        return {"queue": len(self._worker.queue), "queue_longest": self._worker.longest}

    def _done(self, link: Link, _came: float, _began: float) -> None:
        link.answer(200, OK)
