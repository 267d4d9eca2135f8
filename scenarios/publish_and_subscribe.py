"""Publish and subscribe: subscribers over many channels, every one published to in turn; is what is owed delivered?"""

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


class PublishAndSubscribe(Scenario):
    """The everyday case of a push endpoint."""

    doc = "many channels of a push endpoint, published to in turn: how much of what is owed is delivered, and when"
    listens = True

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Subscribers and publishers of many channels."""
        return fan_out(cohort, place, self.numbers)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """What was delivered of what was owed, and how late."""
        heard = offered[-1].deliveries
        assert heard is not None
        owed = heard.delivered + heard.lost
        share = 100 * heard.delivered / owed if owed else None
        text = f"{heard.delivered:,} of {owed:,} deliveries, {heard.duplicated:,} copies too many"
        whole = not heard.lost and not heard.duplicated if owed else None
        metric = "" if heard.duplicated else "lost"
        p99 = heard.latency.percentile_ms(99)
        return [
            Finding(name="delivered", value=share, unit="%", text=text, ok=whole, metric=metric),
            Finding(name="delivery p99", value=p99, unit="ms", text="from the planned time of the publish"),
        ]


class PublishAndSubscribeUser(CohortUser):
    """``locust -f scenarios/publish_and_subscribe.py --host URL``."""

    scenario = PublishAndSubscribe
