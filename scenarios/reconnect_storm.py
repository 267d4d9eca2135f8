"""Reconnect storm: every stream is cut at once, comes back, and says by Last-Event-ID what it had; nothing may be lost.

Events have ids. The instance must keep them for a while: this package's push endpoint does with ``--store 100``.
"""

from __future__ import annotations

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


class ReconnectStorm(Scenario):
    """Hold, cut, hold."""

    doc = "all streams are cut at once and come back: how long it takes, what is replayed, what is lost"
    listens = True

    def plans(self) -> Sequence[Plan]:
        """The same rate before and after the cut."""
        rate, before, storm = (float(self.numbers[name]) for name in ("rate", "duration", "storm"))
        hold = Plan(stage="hold", rate_per_s=rate, duration_s=before, drain_s=5.0)
        return [hold, Plan(stage="storm", rate_per_s=rate, duration_s=storm, drain_s=5.0, action="cut")]

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """Events have ids, so that they can be replayed."""
        return fan_out(cohort, place, self.numbers, event_ids=True)

    def act(self, action: str, traffic: Traffic) -> None:
        """Cut every stream."""
        assert action == "cut" and traffic.streams is not None  # noqa: PT018
        traffic.streams.cut()

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """Whether everybody came back, when the last one did, and whether the replay was whole."""
        heard, cut = offered[-1].deliveries, offered[0].streams_open
        assert heard is not None
        back = heard.reconnect.count >= cut == offered[-1].streams_open
        last = heard.reconnect.max_us / 1e6 if back else None
        return [
            Finding(name="served again", value=last, unit="s", text=f"until all {cut:,} streams were", ok=back),
            Finding(name="replayed", value=heard.replayed, unit="deliveries", text="published while they were away"),
            Finding.lost(heard.lost, "since the cut"),
        ]


class ReconnectStormUser(CohortUser):
    """``locust -f scenarios/reconnect_storm.py --host URL``."""

    scenario = ReconnectStorm
