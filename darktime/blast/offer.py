"""Offers one rate to an instance for a while: sends what is due, lets it drain, and gives what was counted."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from darktime.blast.health import Health, Meter
from darktime.blast.offered import Offered

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.arrivals import Arrivals
    from darktime.blast.cohort import Cohort
    from darktime.blast.requests import RequestPool
    from darktime.blast.streams import Streams
    from darktime.blast.tally import Tally

# Sends between two looks at what has arrived: about 5 ms.
SENDS_A_TURN = 500
# An instance that answers so many with errors is left in peace before the probe's time is over.
ABORT_SHARE = 0.2
ABORT_AFTER_REQUESTS = 100
ABORT_AFTER_S = 0.5


class Offering:
    """One cohort's means to offer rates, one after the other.

    ``stop`` is asked all the time and ends everything at once.
    """

    def __init__(
        self, cohort: Cohort, pool: RequestPool, streams: Streams | None, tally: Tally, stop: Callable[[], bool]
    ) -> None:
        self._cohort = cohort
        self._pool = pool
        self._streams = streams
        self._tally = tally
        self._stop = stop

    def open_model(self, arrivals: Arrivals, *, rate_per_s: float, duration_s: float, drain_s: float) -> Offered:
        """Send what ``arrivals`` plans for ``duration_s``, whether or not the instance keeps up."""
        meter = self._begin()
        start = time.monotonic()
        end = start + duration_s
        planned = refused = 0
        while not self._over(start, end):
            due = iter(arrivals.due(min(time.monotonic() - start, duration_s)))
            while batch := list(islice(due, SENDS_A_TURN)):
                planned += len(batch)
                refused += sum(not self._pool.submit(start + at) for at in batch)
                self._cohort.turn(0)
            self._cohort.turn(min(start + arrivals.next_s(), end) - time.monotonic())
        return self._end(meter, start, drain_s, rate_per_s=rate_per_s, planned=planned, refused=refused)

    def closed_model(self, *, duration_s: float, drain_s: float) -> Offered:
        """Let every connection send again as soon as it has its reply."""
        meter = self._begin()
        start = time.monotonic()
        end = start + duration_s
        self._pool.closed_model = True
        self._pool.start_closed()
        while not self._over(start, end):
            self._cohort.turn(end - time.monotonic())
        self._pool.closed_model = False
        return self._end(meter, start, drain_s, rate_per_s=None, planned=0, refused=0)

    def _begin(self) -> Meter:
        self._tally.begin()
        self._cohort.resume()
        return Meter()

    def _over(self, start: float, end: float) -> bool:
        now = time.monotonic()
        if now >= end or self._stop():
            return True
        if now < start + ABORT_AFTER_S:
            return False
        past, recent = self._tally.probe_counts, self._pool.counts
        requests = past.requests + recent.requests
        return requests >= ABORT_AFTER_REQUESTS and past.failures + recent.failures > ABORT_SHARE * requests

    def _end(
        self, meter: Meter, start: float, drain_s: float, *, rate_per_s: float | None, planned: int, refused: int
    ) -> Offered:
        duration_s = time.monotonic() - start
        cpu_share = meter.cpu_share()
        loop_lag_ms = self._cohort.loop_lag_max_s * 1000
        self._drain(time.monotonic() + drain_s)
        unsent = refused + self._pool.drop_waiting()
        self._pool.abandon("unfinished")
        if self._streams is not None:
            self._streams.settle()
        self._tally.flush()
        counts, deliveries = self._tally.probe_counts, self._tally.probe_deliveries
        return Offered(
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            planned=planned,
            unsent=unsent,
            counts=counts,
            deliveries=deliveries if self._streams is not None else None,
            health=Health(
                send_lag_p99_ms=counts.send_lag.percentile_ms(99) or 0.0,
                loop_lag_max_ms=loop_lag_ms,
                cpu_share=cpu_share,
                achieved_share=(planned - unsent) / planned if planned else 1.0,
                errors_of_ours=counts.errors_of_ours + deliveries.errors_of_ours,
                waited=counts.waited > 0,
            ),
        )

    def _drain(self, until: float) -> None:
        while time.monotonic() < until and not self._stop():
            if not self._pool.in_flight and not self._pool.waiting and not (self._streams and self._streams.owed()):
                return
            self._cohort.turn(until - time.monotonic())
