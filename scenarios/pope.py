"""The pope: white smoke in March 2013. A few channels go from quiet to 20 times as much within a minute.

From the talk "Making DISQUS Realtime" (PyCon 2013) and the articles about it: that day took 245 MB/s at its peak and
6 TB in all, at 12 % of a processor. Assumed: the factor of 20, the minute, the shape of the curve, the channels and the
subscribers. The curve is pope.csv; ``speed`` shortens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.curve_file import parse_curve, stretched
from darktime.blast.fanout import fan_out
from darktime.blast.plan import Plan
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class Pope(Scenario):
    """A spike, along a curve of rates."""

    doc = "a spike to 20 times as much within a minute on few channels, along a curve from a file"
    listens = True

    def plans(self) -> Sequence[Plan]:
        """The curve, ``speed`` times as fast."""
        curve = self.read(".csv", parse_curve)
        points = stretched(curve, speed=float(self.numbers["speed"]), scale=float(self.numbers["scale"]))
        return [Plan(stage="spike", duration_s=points[-1][0], drain_s=5.0, points=points)]

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Subscribers and publishers of few channels."""
        return fan_out(cohort, place, self.numbers)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """What the spike cost."""
        heard = offered[-1].deliveries
        assert heard is not None
        worst = heard.latency.max_us / 1000 if heard.latency.count else None
        return [
            Finding(name="slowest delivery", value=worst, unit="ms", text="of all, from the planned time"),
            Finding.lost(heard.lost, "in the whole spike"),
        ]


class PopeUser(CohortUser):
    """``locust -f scenarios/pope.py --host URL --number speed=10``."""

    scenario = Pope
