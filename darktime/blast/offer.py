"""Offers one plan to an instance: sends what is due, lets it drain, and gives what was counted."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from darktime.blast.growth import Halves, Times
from darktime.blast.health import Health, backlog_share
from darktime.blast.offered import Offered
from darktime.blast.tally import cpu_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from darktime.blast.arrivals import Share
    from darktime.blast.cohort import Cohort
    from darktime.blast.plan import Plan
    from darktime.blast.publisher import Published
    from darktime.blast.tally import Tally
    from darktime.blast.traffic import Traffic

# Sends between two looks at what has arrived: about 5 ms.
SENDS_A_TURN = 500
# An instance that answers so many with errors is left in peace before the plan's time is over.
ABORT_SHARE = 0.2
ABORT_AFTER_REQUESTS = 100
# Where it takes longer until they are so many, fewer decide.
ABORT_LOOK_S = 1.5
ABORT_LEAST_REQUESTS = 10
ABORT_AFTER_S = 0.5
# What other processes published is on its way when they say so.
OTHERS_S = 1.0


class Offering:
    """One cohort's means to offer plans, one after the other. ``stop`` is asked all the time and ends all at once.

    ``exchange``: where other processes publish on the same channels, tells them what this one did, and what they did.
    """

    def __init__(
        self,
        cohort: Cohort,
        traffic: Traffic,
        tally: Tally,
        share: Share,
        stop: Callable[[], bool],
        *,
        exchange: Callable[[Published], Mapping[int, Published]] | None = None,
    ) -> None:
        self._cohort = cohort
        self._traffic = traffic
        self._load = traffic.load
        self._tally = tally
        self._share = share
        self._stop = stop
        self._exchange = exchange
        self._flight_s = 0.0  # requests in flight, summed over time
        self._under_way = 0  # at the last look
        self._looked = 0.0
        self._halves: Halves | None = None  # of a plan with one rate

    def offer(self, plan: Plan, *, began_s: float = 0.0, patient: bool = False) -> Offered:
        """Send what is planned, whether or not the instance keeps up; closed, as fast as it answers.

        ``patient``: errors do not end it before its time, as when a limit is known to be passed.
        """
        self._tally.begin()
        self._cohort.resume()
        used = cpu_s()
        start = self._looked = time.monotonic()
        self._flight_s, self._under_way = 0.0, self._load.in_flight
        self._halves = Halves(start + plan.duration_s / 2) if plan.steady else None
        aborted = self._closed(plan, start, patient) if plan.closed else self._open(plan, start, patient)
        duration_s = time.monotonic() - start
        cpu_share = (cpu_s() - used) / max(duration_s, 1e-9)
        in_flight_mean = self._flight_s / max(duration_s, 1e-9)
        loop_lag_ms = self._cohort.loop_lag_max_s * 1000
        planned, refused = self._planned, self._refused
        self._tally.flush()
        in_time = self._times()
        answered_in_time = self._tally.plan_counts.requests - self._tally.plan_counts.failures
        if aborted:  # what has not been sent yet never will be
            refused += self._load.drop_waiting()
        unsent = refused + self._drain(time.monotonic() + plan.drain_s)
        served = self._load.served_connections
        self._tally.flush()
        counts, deliveries = self._tally.plan_counts, self._tally.plan_deliveries
        if plan.closed:
            planned = counts.requests
        mean = plan.mean_rate_per_s()
        listening = self._listening
        return Offered(
            stage=plan.stage,
            began_s=began_s,
            rate_per_s=None if mean is None else mean / self._share.workers,
            duration_s=duration_s,
            planned=planned,
            unsent=unsent,
            in_flight_mean=in_flight_mean,
            answered_in_time=answered_in_time,
            streams_open=self._traffic.streams.open if self._traffic.streams is not None else 0,
            streams_never_served=self._traffic.streams.never_served if self._traffic.streams is not None else 0,
            connections_served=served,
            aborted=aborted,
            spans=self._halves.spans(in_time, self._times()) if self._halves is not None else None,
            counts=counts,
            deliveries=deliveries if listening else None,
            health=Health(
                send_lag_p99_ms=counts.send_lag.percentile_ms(99) or 0.0,
                loop_lag_max_ms=loop_lag_ms,
                cpu_share=cpu_share,
                achieved_share=(planned - unsent) / planned if planned else 1.0,
                errors_of_ours=counts.errors_of_ours + deliveries.errors_of_ours,
                waited=counts.waited > 0,
                backlog_share=backlog_share(counts, deliveries),
            ),
        )

    def _open(self, plan: Plan, start: float, patient: bool) -> str:  # noqa: FBT001
        arrivals, load, cohort, tally = plan.arrivals(self._share), self._load, self._cohort, self._tally
        end = start + plan.duration_s
        self._planned = self._refused = 0
        while not (over := self._over(start, end, patient)):
            due = iter(arrivals.due(min(time.monotonic() - start, plan.duration_s)))
            while batch := list(islice(due, SENDS_A_TURN)):
                self._planned += len(batch)
                tally.planned += len(batch)
                self._refused += sum(not load.submit(start + at) for at in batch)
                self._look()
                cohort.turn(0)
                self._look()
            if over is not None:  # whoever came back late has sent what was due by then
                break
            cohort.turn(min(start + arrivals.next_s(), end) - time.monotonic())
            self._look()
        return over

    def _closed(self, plan: Plan, start: float, patient: bool) -> str:  # noqa: FBT001
        end = start + plan.duration_s
        self._planned = self._refused = 0
        self._load.closed_model = True
        self._load.start_closed()
        self._look()
        while (over := self._over(start, end, patient)) is None:
            self._cohort.turn(end - time.monotonic())
            self._look()
        self._load.closed_model = False
        return over

    def _look(self) -> None:
        now = time.monotonic()
        under_way = self._load.in_flight
        # Nothing is sent or read during a wait; after it, what is handled changes the number bit by bit.
        waited_until = max(self._cohort.waited_until_s, self._looked)
        self._flight_s += self._under_way * (waited_until - self._looked)
        self._flight_s += (self._under_way + under_way) / 2 * (now - waited_until)
        self._under_way, self._looked = under_way, now
        if self._halves is not None and self._halves.is_over(now):
            self._tally.flush()
            self._halves.cut(self._times())

    @property
    def _listening(self) -> bool:
        return self._traffic.streams is not None or hasattr(self._load, "take_deliveries")

    def _times(self) -> Times:
        """Those that a queue would make longer, of what was counted of the plan by now."""
        heard = self._tally.plan_deliveries
        if self._traffic.streams is not None:
            return Times.of(heard.latency)
        # A stream that ends by itself takes as long as there is to say: only its beginning is waited for in a queue.
        return Times.of(heard.first_event if self._listening else self._tally.plan_counts.latency)

    def _over(self, start: float, end: float, patient: bool) -> str | None:  # noqa: FBT001
        """Why it is over before its time, empty when its time is over, None while it goes on."""
        now = time.monotonic()
        if now >= end:
            return ""
        if self._stop():
            return "interrupted"
        if patient or now < start + ABORT_AFTER_S:
            return None
        past = self._tally.plan_counts
        requests, failures = self._load.ended
        requests, failures = past.requests + requests, past.failures + failures
        enough = ABORT_AFTER_REQUESTS if now < start + ABORT_LOOK_S else ABORT_LEAST_REQUESTS
        if requests >= enough and failures > ABORT_SHARE * requests:
            return f"{failures / requests:.0%} errors"
        return None

    def _drain(self, until: float) -> int:
        """Wait for what is under way, and settle the accounts; how many were never sent."""
        load, streams = self._load, self._traffic.streams
        while time.monotonic() < until and not self._stop():
            if not load.in_flight and not load.waiting and not (streams and streams.owed()):
                break
            self._cohort.turn(until - time.monotonic())
        unsent = load.drop_waiting()
        load.abandon("unfinished")
        if streams is not None:
            others = self._exchange(streams.account()) if self._exchange is not None else {}
            until = time.monotonic() + OTHERS_S
            while others and time.monotonic() < until and not self._stop() and streams.owed_by_others(others):
                self._cohort.turn(until - time.monotonic())
            streams.settle(others)
        return unsent
