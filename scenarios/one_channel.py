"""One channel: everybody listens to the same channel of a push endpoint, and somebody publishes to it evenly."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from locust import events

from darktime.blast.arrivals import constant
from darktime.blast.requests import RequestPool
from darktime.blast.streams import Publisher, Streams
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from darktime.blast.cohort import Cohort

PUBLISHERS = 4


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--rate", type=float, default=10.0, help="Publishes a second, each process")
    parser.add_argument("--subscribers", type=int, default=200, help="EventSource subscribers, each process")


class OneChannel(CohortUser):
    """One cohort a process: its subscribers and its publishers. Deliveries are listed as EVENT."""

    def run_cohort(self, cohort: Cohort) -> None:
        """Subscribe everybody, then publish ``--rate`` a second until Locust says stop."""
        options = self.environment.parsed_options
        address = self.target(rate_per_s=options.rate, sockets=options.subscribers + PUBLISHERS)
        run = secrets.token_hex(4)
        publisher = Publisher(address, 1, run)
        streams = Streams(cohort, address, publisher, count=options.subscribers, run=run)
        pool = RequestPool(cohort, address, publisher, size=PUBLISHERS, timeout_s=5.0)
        pool.open()
        self.offer(constant(options.rate), pool, method="POST", name="/pub", streams=streams)
