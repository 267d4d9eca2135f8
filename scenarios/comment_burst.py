"""Comment burst: many threads, a quiet trickle of comments, suddenly many more, then quiet again; does it recover?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from darktime.blast.fanout import fan_out
from darktime.blast.plan import Plan
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class CommentBurst(Scenario):
    """Quiet, burst, quiet."""

    doc = "comments come in a trickle, in a burst, in a trickle, at random: what the burst costs, and after it"
    listens = True

    def plans(self) -> Sequence[Plan]:
        """Three parts of the same length; after each, what is under way has 5 s to arrive."""
        rate, burst, seed = float(self.numbers["rate"]), float(self.numbers["burst"]), int(self.numbers["seed"])
        quiet = Plan(stage="quiet", rate_per_s=rate, duration_s=float(self.numbers["duration"]), seed=seed, drain_s=5.0)
        return [
            quiet,
            replace(quiet, stage="burst", rate_per_s=burst, seed=seed + 1),
            replace(quiet, stage="after", seed=seed + 2),
        ]

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Readers and writers of many threads."""
        return fan_out(cohort, place, self.numbers)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """The p99 of each part, and what was lost in all."""
        heard = [(part.stage, part.deliveries) for part in offered if part.deliveries is not None]
        lost = sum(deliveries.lost for _, deliveries in heard)
        return [
            *(
                Finding(name=f"p99 {stage}", value=part.latency.percentile_ms(99), unit="ms", text="of deliveries")
                for stage, part in heard
            ),
            Finding.lost(lost, "in all three parts"),
        ]


class CommentBurstUser(CohortUser):
    """``locust -f scenarios/comment_burst.py --host URL``."""

    scenario = CommentBurst
