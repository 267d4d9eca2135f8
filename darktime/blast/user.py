"""A Locust user that is a whole cohort: thousands of sockets in one greenlet, one such user a process."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from locust import User, constant, task
from locust.exception import StopUser

from darktime.blast.cohort import Cohort
from darktime.blast.feed import LocustFeed
from darktime.blast.settings import Address, BlastSettings, check, max_rate, reserve_open_files
from darktime.blast.tally import Tally
from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.blast.arrivals import Arrivals
    from darktime.blast.requests import RequestPool
    from darktime.blast.streams import Streams


class CohortUser(User):
    """Subclass it, and say in ``run_cohort`` what the cohort does until Locust stops it.

    Like every run it may go to loopback only; the variables DARKTIME_BLAST_ALLOW (hosts, by comma) and
    DARKTIME_BLAST_MAX_RATE let it go further.
    """

    abstract = True
    fixed_count = 1
    wait_time = constant(0)

    def on_start(self) -> None:
        """Make the poller here: after Locust has forked its processes."""
        self.cohort = Cohort()

    def on_stop(self) -> None:
        """Hand on the last counts and close."""
        self.cohort.flush()
        self.cohort.close()

    def run_cohort(self, cohort: Cohort) -> None:
        """What the cohort does; it runs until it returns or Locust stops the user."""
        raise NotImplementedError(f"{type(self).__name__} must say what its cohort does: override run_cohort")

    @task
    def _run(self) -> None:
        self.run_cohort(self.cohort)
        raise StopUser

    def target(self, *, rate_per_s: float, sockets: int) -> Address:
        """Where ``--host`` points, once the limits of safety and of this machine are checked.

        Stops the run when they forbid it.
        """
        limit = os.environ.get("DARKTIME_BLAST_MAX_RATE")
        settings = BlastSettings(
            instance=self.host or "",
            rate_per_s=rate_per_s,
            allow=tuple(filter(None, os.environ.get("DARKTIME_BLAST_ALLOW", "").split(","))),
            max_rate_per_s=float(limit) if limit else None,
        )
        try:
            address = check(settings)
            reserve_open_files(sockets)
        except UsageError:
            runner = self.environment.runner
            self.environment.process_exit_code = 2
            if runner is not None:
                runner.quit()
            raise
        assert rate_per_s <= max_rate(settings)
        return address

    def offer(
        self, arrivals: Arrivals, pool: RequestPool, *, method: str, name: str, streams: Streams | None = None
    ) -> None:
        """Send what ``arrivals`` plans from now on, until Locust stops the user, listed as ``method`` and ``name``."""
        cohort = self.cohort
        tally = Tally(pool, streams, LocustFeed(self.environment, method, name))
        cohort.each_second.append(tally.flush)
        start = time.monotonic()
        try:
            while True:
                for at in arrivals.due(time.monotonic() - start):
                    pool.submit(start + at)
                cohort.turn(start + arrivals.next_s() - time.monotonic())
        finally:
            if streams is not None:
                streams.close()
            pool.close()
