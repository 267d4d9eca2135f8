"""Answers each request after a time of a known distribution; as many at a time as come."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.delays import FORMS, delays
from tests.darktime.blast.servers.replies import OK
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class Delay(Service):
    """The nth request gets the nth time of ``delays(WORDS, SEED)``."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--delay", default="constant:5", metavar="WORDS", help=FORMS)
        parser.add_argument("--cold-s", type=float, default=0.0, help="so long after its first request ...")
        parser.add_argument("--cold-ms", type=float, default=0.0, help="... each takes so much longer")

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._delays = delays(options.delay, options.seed)
        self._warm_at = 0.0

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        now = monotonic()
        self._warm_at = self._warm_at or now + self.options.cold_s
        cold_s = self.options.cold_ms / 1000 if now < self._warm_at else 0.0
        self.loop.at(now + next(self._delays) + cold_s, link.answer, 200, OK)
