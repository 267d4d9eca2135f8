"""One channel: everybody listens to the same channel of a push endpoint, and somebody publishes to it evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.publisher import Publisher
from darktime.blast.requests import RequestPool
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.streams import Streams
from darktime.blast.traffic import Traffic
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered


class OneChannel(Scenario):
    """The other darkesttime: one site going viral."""

    listens = True

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """This worker's subscribers and publishers, on a channel of its own."""
        run = f"{place.run}{place.share.index:02x}"
        publisher = Publisher(place.address, 1, run, names=[f"blast.{run}"])
        wanted = place.part(int(self.numbers["streams"]))
        streams = Streams(cohort, place.address, publisher, count=wanted, run=run, source_ips=place.source_ips)
        size = max(place.part(int(self.numbers["connections"])), 1)
        pool = RequestPool(cohort, place.address, publisher, size=size, timeout_s=place.timeout_s)
        return Traffic(pool, streams, method="POST", name="/pub", wanted=wanted, size=size)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """How far apart the first and the last subscriber get an event."""
        heard = offered[-1].deliveries
        spread = heard.spread.percentile_ms(99) if heard is not None else None
        text = "p99 of the time from an event's first subscriber to its last"
        return [Finding(name="fan-out spread", value=spread, unit="ms", text=text)]


class OneChannelUser(CohortUser):
    """``locust -f scenarios/one_channel.py --host URL``; deliveries are listed as EVENT."""

    scenario = OneChannel
