"""Serves exactly R requests a second and answers 429 to what is above, at once."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import OK, TOO_MANY
from tests.darktime.blast.servers.service import Service

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class TokenBucket(Service):
    """A bucket of ``--burst`` tokens (as many as come in 10 ms, at least one) that fills at ``--rate`` a second."""

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rate", type=float, default=500.0)
        parser.add_argument("--burst", type=float, default=0.0)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        burst = options.burst or max(1.0, options.rate / 100)
        self._interval_s = 1 / options.rate
        self._slack_s = (burst - 1) * self._interval_s
        self._full_at = 0.0  # when the bucket will be full again

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        now = monotonic()
        full_at = max(self._full_at, now)
        if full_at - now > self._slack_s:
            link.answer(429, TOO_MANY)
        else:
            self._full_at = full_at + self._interval_s
            link.answer(200, OK)
