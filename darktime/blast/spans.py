"""How long requests took, collected in plain lists until they are counted in bulk. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.histogram import Histogram

if TYPE_CHECKING:
    from darktime.blast.counts import Counts


class Spans:
    """In seconds. ``latencies`` are from the planned time, ``services`` from the sending, ``lags`` between the two.

    ``prompt``: of requests that were sent when they were planned, latency and service in one.
    """

    __slots__ = ("lags", "latencies", "prompt", "services")

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.services: list[float] = []
        self.lags: list[float] = []
        self.prompt: list[float] = []

    def count_into(self, counts: Counts, *, closed_model: bool) -> None:
        """Count them all; in a closed model a request that was prompt has no lag."""
        counts.latency.add_seconds(self.latencies)
        counts.service.add_seconds(self.services)
        counts.send_lag.add_seconds(self.lags)
        both = Histogram()
        both.add_seconds(self.prompt)
        counts.latency.merge(both)
        counts.service.merge(both)
        if closed_model and both.count:
            counts.send_lag.add(0, both.count)
