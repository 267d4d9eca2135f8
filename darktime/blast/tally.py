"""Takes what was counted once a second, hands it on as that second, and adds it to the sums of the plan and the run."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.offered import Second

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.cohort import Cohort
    from darktime.blast.traffic import Traffic

# Over less than this the share of a processor is a throw of dice: the kernel counts in slices.
LEAST_S = 0.1


class Tally:
    """``plan_...`` since ``begin``. ``flush`` runs once a second, and whenever a plan begins or ends.

    ``wall`` is the clock, in seconds UTC, that the seconds of all workers are counted by.
    """

    def __init__(
        self,
        cohort: Cohort,
        traffic: Traffic,
        listeners: list[Callable[[Second], None]],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.plan_counts = Counts()
        self.plan_deliveries = Deliveries()
        self.planned = 0  # since the last flush
        self._cohort = cohort
        self._traffic = traffic
        self._listeners = listeners
        self._wall = wall
        self._cpu_s = cpu_s()
        self._at = time.monotonic()
        self._cpu_share = 0.0

    def begin(self) -> None:
        """A new plan begins."""
        self.flush()
        self.plan_counts = Counts()
        self.plan_deliveries = Deliveries()

    def flush(self) -> None:
        """Take, hand on, add up."""
        load, streams = self._traffic.load, self._traffic.streams
        counts = load.take()
        deliveries = self._take_deliveries()
        now, used = time.monotonic(), cpu_s()
        if now - self._at >= LEAST_S:
            self._cpu_share = (used - self._cpu_s) / (now - self._at)
            self._cpu_s, self._at = used, now
        second = Second(
            at_s=int(self._wall()),
            planned=self.planned,
            counts=counts,
            deliveries=deliveries,
            streams=streams.open if streams is not None else 0,
            connections=load.open_connections,
            in_flight=load.in_flight,
            loop_lag_ms=self._cohort.loop_lag_max_s * 1000,
            cpu_share=self._cpu_share,
        )
        self.planned = 0
        self.plan_counts.merge(counts)
        self.plan_deliveries.merge(deliveries)
        for listener in self._listeners:
            listener(second)

    def _take_deliveries(self) -> Deliveries:
        deliveries = self._traffic.streams.take() if self._traffic.streams is not None else Deliveries()
        take = getattr(self._traffic.load, "take_deliveries", None)
        if take is not None:  # a load whose replies are streams themselves
            deliveries.merge(take())
        return deliveries


def cpu_s() -> float:
    """Seconds of processor that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
