"""One channel: everybody listens to the same channel of a push endpoint, and somebody publishes to it evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.fanout import fan_out
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class OneChannel(Scenario):
    """The other darkesttime: one site going viral."""

    doc = "everybody on one channel of a push endpoint, published to evenly"
    listens = True

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """This worker's subscribers and publishers, on a channel of its own."""
        return fan_out(cohort, place, self.numbers)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """How far apart the first and the last subscriber get an event."""
        heard = offered[-1].deliveries
        spread = heard.spread.percentile_ms(99) if heard is not None else None
        text = "p99 of the time from an event's first subscriber to its last"
        return [Finding(name="fan-out spread", value=spread, unit="ms", text=text)]


class OneChannelUser(CohortUser):
    """``locust -f scenarios/one_channel.py --host URL``; deliveries are listed as EVENT."""

    scenario = OneChannel
