"""The cheapest server: the same 200 to everything, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import OK, reply
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class Null(Service):
    """``--body-bytes``: how long the body is."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--body-bytes", type=int, default=2)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._reply = OK if options.body_bytes == 2 else reply(200, b"x" * options.body_bytes)

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        link.answer(200, self._reply)
