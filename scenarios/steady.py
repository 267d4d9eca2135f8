"""Steady: the same number of requests every second, whether or not the service keeps up (an open model)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locust import events

from darktime.blast.arrivals import constant
from darktime.blast.requests import RequestPool
from darktime.blast.sources import Fixed, get
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from darktime.blast.cohort import Cohort


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--rate", type=float, default=500.0, help="Requests a second, each process")
    parser.add_argument("--connections", type=int, default=50, help="Connections, each process")
    parser.add_argument("--path", default="/", help="What to GET")


class Steady(CohortUser):
    """One cohort a process; its latency counts from the time a request was due."""

    def run_cohort(self, cohort: Cohort) -> None:
        """Offer ``--rate`` until Locust says stop."""
        options = self.environment.parsed_options
        address = self.target(rate_per_s=options.rate, sockets=options.connections)
        source = Fixed(get(address, options.path))
        pool = RequestPool(cohort, address, source, size=options.connections, timeout_s=5.0)
        pool.open()
        self.offer(constant(options.rate), pool, method="GET", name=options.path)
