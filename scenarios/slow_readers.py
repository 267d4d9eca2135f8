"""Slow readers: a share of the subscribers reads a few bytes a second; what do they do to those that read at once?

Run it again with ``--number share=0``: the difference of the fast readers' p99 is the harm.
"""

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


class SlowReaders(Scenario):
    """Slow ones from the start, for their windows are small."""

    doc = "a share of the subscribers reads slowly: what that does to the others"
    listens = True

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Subscribers, a share of them slow."""
        share, slow = float(self.numbers["share"]), float(self.numbers["slow_bytes_per_s"])
        return fan_out(cohort, place, self.numbers, slow_share=share, slow_bytes_per_s=slow)

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """How the fast ones fared, and how far behind the slow ones are."""
        heard = offered[-1].deliveries
        assert heard is not None
        p99 = heard.latency.percentile_ms(99)
        text = f"with {float(self.numbers['share']):.0%} slow readers; compare with --number share=0"
        behind = heard.slow_behind
        return [
            Finding(name="fast readers' p99", value=p99, unit="ms", text=text),
            Finding.lost(heard.lost, name="fast readers' lost"),
            Finding(name="slow readers behind", value=behind, unit="deliveries", text="owed to them at the end"),
        ]


class SlowReadersUser(CohortUser):
    """``locust -f scenarios/slow_readers.py --host URL``."""

    scenario = SlowReaders
