"""What all servers have in common: what they are asked for, and what they count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.control import SideLoop
    from tests.darktime.blast.servers.door import Door
    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head


class Service:
    """Answers requests, at once or later. Subclasses are made from their own options.

    Attributes:
        counts: ``requests`` taken in whole, ``status_NNN`` answered, ``abandoned`` (hung up before the answer),
            ``connections`` accepted, and whatever the service counts itself.
    """

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        self.loop = loop
        self.options = options
        self.counts: Counter[str] = Counter()
        self.side: SideLoop | None = None  # the control port, to be served while the loop is held up

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Its own options."""

    def listening(self, door: Door) -> None:
        """The port is taken."""

    def opened(self, link: Link) -> None:
        """Somebody connected."""

    def closed(self, link: Link) -> None:
        """A connection has ended."""

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        """One request; ``link.answer`` must be called once, now or later."""
        raise NotImplementedError

    def gauges(self) -> dict[str, float]:
        """What is so at the moment."""
        return {}

    def command(self, name: str, head: Head) -> dict[str, Any] | None:
        """A command that came by the control port; None if there is no such."""
        return None
