"""Takes what was counted once a second, hands it to Locust, and adds it to the sums of the probe and of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries

if TYPE_CHECKING:
    from darktime.blast.requests import RequestPool
    from darktime.blast.streams import Streams


class Listener(Protocol):
    """Who is told of every second."""

    def requests(self, counts: Counts) -> None:
        """Requests that ended in it."""

    def deliveries(self, deliveries: Deliveries) -> None:
        """Deliveries that were read in it."""


class Tally:
    """``probe_...`` since ``begin``, ``...`` since the start. Call ``flush`` once a second and at the end."""

    def __init__(self, pool: RequestPool, streams: Streams | None, listener: Listener) -> None:
        self.counts = Counts()
        self.deliveries = Deliveries()
        self.probe_counts = Counts()
        self.probe_deliveries = Deliveries()
        self._pool = pool
        self._streams = streams
        self._listener = listener

    def begin(self) -> None:
        """A new probe begins."""
        self.flush()
        self.probe_counts = Counts()
        self.probe_deliveries = Deliveries()

    def flush(self) -> None:
        """Take, hand on, add up."""
        counts = self._pool.take()
        self._listener.requests(counts)
        self.counts.merge(counts)
        self.probe_counts.merge(counts)
        if self._streams is not None:
            deliveries = self._streams.take()
            self._listener.deliveries(deliveries)
            self.deliveries.merge(deliveries)
            self.probe_deliveries.merge(deliveries)
