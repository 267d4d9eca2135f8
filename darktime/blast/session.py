"""One run with one cohort.

Connects, offers the rate that was asked for or searches for the highest that holds, and sums up.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from darktime.blast.arrivals import constant
from darktime.blast.health import HEALTHY
from darktime.blast.offer import Offering
from darktime.blast.requests import RequestPool
from darktime.blast.result import Probe, judge
from darktime.blast.search import Search
from darktime.blast.settings import PUBLISHERS, max_rate
from darktime.blast.sources import Fixed, get
from darktime.blast.streams import Publisher, Streams
from darktime.blast.tally import Tally
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.probe import Endpoint
    from darktime.blast.settings import Address, BlastSettings
    from darktime.blast.sources import Source
    from darktime.blast.tally import Listener

START_HTTP_PER_S = 500.0
START_PUSH_PER_S = 50.0
DOUBLING_S = 0.75  # a probe on the way up: it only brackets
PROBE_S = 1.5
DRAIN_S = 1.0
OPEN_TIMEOUT_S = 10.0


def sockets_needed(settings: BlastSettings, endpoint: Endpoint) -> int:
    """How many sockets the run will hold at once."""
    return settings.streams + PUBLISHERS if endpoint.kind == "push" else settings.connections


class Session:
    """Runs once. ``probes`` and ``offered`` grow as rates are tried; ``search`` is None when the rate was given."""

    def __init__(
        self,
        settings: BlastSettings,
        address: Address,
        endpoint: Endpoint,
        *,
        on_progress: Callable[[Probe], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self.probes: list[Probe] = []
        self.offered: list[Offered] = []
        self.tally: Tally | None = None
        self.search: Search | None = None
        self.budget_spent = False
        self._address = address
        self._on_progress = on_progress
        self._stop = stop

    @property
    def interrupted(self) -> bool:
        """The run was ended from outside."""
        return self._stop()

    def run(self, cohort: Cohort, listener: Listener) -> None:
        """Do it all, and close every socket. Raises UsageError when the instance takes no connection."""
        settings = self.settings
        push = self.endpoint.kind == "push"
        run = secrets.token_hex(4)
        publisher = Publisher(self._address, settings.channels, run)
        source: Source = publisher if push else Fixed(get(self._address, self.endpoint.path))
        size = PUBLISHERS if push else settings.connections
        pool = RequestPool(cohort, self._address, source, size=size, timeout_s=settings.timeout_s)
        streams = Streams(cohort, self._address, publisher, count=settings.streams, run=run) if push else None
        self.tally = Tally(pool, streams, listener)
        cohort.each_second.append(self.tally.flush)
        try:
            self._open(cohort, pool, size, streams)
            self._offer_all(Offering(cohort, pool, streams, self.tally, self._stop))
        finally:
            self.tally.flush()
            pool.close()
            if streams is not None:
                streams.close()

    def _open(self, cohort: Cohort, pool: RequestPool, size: int, streams: Streams | None) -> None:
        pool.open()
        wanted = self.settings.streams if streams is not None else 0
        until = time.monotonic() + OPEN_TIMEOUT_S
        while time.monotonic() < until and not self._stop():
            if pool.open_connections >= size and (streams is None or streams.open >= wanted):
                return
            cohort.turn(until - time.monotonic())
        if self._stop():
            return
        if not pool.open_connections:
            raise UsageError(f"{self._address.authority} took none of {size} connections in {OPEN_TIMEOUT_S:g} s")
        if streams is not None and streams.open < wanted:
            raise UsageError(
                f"{self._address.authority} served {streams.open} of {wanted} subscribers within {OPEN_TIMEOUT_S:g} s: "
                f"ask for fewer with --streams, or raise the instance's limit"
            )

    def _offer_all(self, offering: Offering) -> None:
        settings = self.settings
        if settings.closed:
            self._note(offering.closed_model(duration_s=settings.duration_s, drain_s=settings.timeout_s))
        elif settings.rate_per_s is not None:
            self._note(self._offered(offering, settings.rate_per_s, settings.duration_s, settings.timeout_s))
        else:
            self._search(offering)

    def _search(self, offering: Offering) -> None:
        start = START_PUSH_PER_S if self.endpoint.kind == "push" else START_HTTP_PER_S
        search = self.search = Search(start_per_s=start, max_per_s=max_rate(self.settings))
        end = time.monotonic() + self.settings.duration_s
        while (rate := search.next_rate()) is not None and not self._stop():
            span = min(PROBE_S if search.bracketed else DOUBLING_S, self.settings.duration_s)
            if self.probes and time.monotonic() + span > end:
                self.budget_spent = True
                return
            probe = self._note(self._offered(offering, rate, span, DRAIN_S))
            if self._stop():
                return
            again = len(self.probes) > 1 and self.probes[-2].rate_per_s == probe.rate_per_s
            search.record(rate, passed=probe.passed)
            if probe.health != HEALTHY and again:
                return

    def _offered(self, offering: Offering, rate_per_s: float, duration_s: float, drain_s: float) -> Offered:
        arrivals = constant(rate_per_s, duration_s)
        return offering.open_model(arrivals, rate_per_s=rate_per_s, duration_s=duration_s, drain_s=drain_s)

    def _note(self, offered: Offered) -> Probe:
        probe = judge(offered, self.settings.slo)
        self.offered.append(offered)
        self.probes.append(probe)
        if self._on_progress is not None:
            self._on_progress(probe)
        return probe
