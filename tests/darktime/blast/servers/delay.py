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

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._delays = delays(options.delay, options.seed)

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        self.loop.at(monotonic() + next(self._delays), link.answer, 200, OK)
