"""A canary: subscribes to every channel of a push box that is not ours, and counts what arrives.

An instance that was already there keeps no account in our ledger. The canary stands in for it: what the canary read,
the box took in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import gevent.pool

from darktime.demo.reading import Arrival, Stream, StreamBroken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.ledger import Ledger

CHANNELS_A_STREAM = 30  # keeps the request line well under the 4 KB that nginx takes by default
RECONNECT_S = 0.5


class Canary:
    """Counts -1 on ``hop`` for each event that the box at ``address`` (HOST:PORT) delivers to it."""

    def __init__(self, hop: str, address: str, *, channels: Sequence[str], ledger: Ledger) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._hop = hop
        self._ledger = ledger
        self._paths = [
            "/ev/" + "/".join(channels[start : start + CHANNELS_A_STREAM])
            for start in range(0, len(channels), CHANNELS_A_STREAM)
        ]
        self._streams: dict[str, Stream] = {}
        self._greenlets = gevent.pool.Group()
        self._opened: set[str] = set()
        self._stopping = False

    @property
    def open(self) -> bool:
        """Whether every channel is being listened to."""
        return len(self._opened) == len(self._paths)

    def start(self) -> None:
        """Open the streams, in greenlets of their own."""
        for path in self._paths:
            self._greenlets.spawn(self._listen, path)

    def stop(self) -> None:
        """Leave."""
        self._stopping = True
        for stream in self._streams.values():
            stream.close()
        self._greenlets.join(timeout=2)
        self._greenlets.kill(timeout=1)

    def _listen(self, path: str) -> None:
        while not self._stopping:
            try:
                stream = self._streams[path] = Stream(self._address, path)
                stream.read(lambda: self._opened.add(path), self._count)
            except (StreamBroken, OSError):
                # What is missed until the stream stands open again is missing on the hop: a canary hides nothing.
                gevent.sleep(RECONNECT_S)
            finally:
                self._opened.discard(path)

    def _count(self, event: Arrival) -> None:
        self._ledger.received(self._hop, [event.name], event.at)
