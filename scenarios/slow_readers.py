"""Slow readers: a share of the subscribers reads a few bytes a second; what do they do to those that read at once?

All read at once first, then the share slows down: how much the others' p99 rises by then is the harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.fanout import fan_out
from darktime.blast.harm import harm
from darktime.blast.plan import Plan
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class SlowReaders(Scenario):
    """The same subscribers twice, for the windows of those that slow down are small from the start."""

    doc = "a share of the subscribers slows down: what that does to the others"
    listens = True

    def plans(self) -> Sequence[Plan]:
        """Alone, and with slow ones; without a share of them, the rate alone."""
        rate, duration = float(self.numbers["rate"]), float(self.numbers["duration"])
        hold = Plan(stage="hold", rate_per_s=rate, duration_s=duration, drain_s=5.0, action="slow")
        alone = Plan(stage="alone", rate_per_s=rate, duration_s=duration, drain_s=5.0)
        return [alone, hold] if float(self.numbers["share"]) > 0 else [hold]

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Subscribers, a share of them to be slow."""
        share, slow = float(self.numbers["share"]), float(self.numbers["slow_bytes_per_s"])
        return fan_out(cohort, place, self.numbers, slow_share=share, slow_bytes_per_s=slow, slow_at_once=False)

    def act(self, action: str, traffic: Traffic) -> None:
        """Slow down."""
        assert action == "slow" and traffic.streams is not None  # noqa: PT018
        traffic.streams.slow_down()

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """How the fast ones fared, and how far behind the slow ones are."""
        return harm([one.deliveries for one in offered], limit_ms=float(self.numbers["harm_limit_ms"]))


class SlowReadersUser(CohortUser):
    """``locust -f scenarios/slow_readers.py --host URL``."""

    scenario = SlowReaders
