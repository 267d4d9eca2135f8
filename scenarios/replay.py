"""Replay: the requests of an access log or of a recording, each when it came, or ``speed`` times as fast.

A log's whole seconds are spread evenly over the second. Only methods that change nothing, unless others are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.plan import Plan
from darktime.blast.pooled import pooled
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.sources import Listed
from darktime.blast.user import CohortUser
from scenarios._recorded import Came, read_came

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class Replay(Scenario):
    """What was recorded, once."""

    doc = "the requests of an access log or a recording, at the times that they came, or faster"

    def plans(self) -> Sequence[Plan]:
        """The recorded times."""
        recorded, _ = self._came()
        times = tuple(one.at_s for one in recorded)
        return [Plan(stage="replay", duration_s=times[-1] + 0.1, drain_s=5.0, times_s=times)]

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """This worker's requests: those whose times it takes."""
        recorded, _ = self._came()
        mine = recorded[place.share.index :: place.share.workers] or recorded[:1]
        source = Listed([one.asked(place.address) for one in mine])
        return pooled(cohort, place, self.numbers, source, method="REPLAY", name="recorded requests")

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """How much of the log was offered."""
        sent, (_, left_out) = offered[-1].planned - offered[-1].unsent, self._came()
        text = f"of {offered[-1].planned:,}; {left_out:,} lines were left out: other methods, or not to be read"
        return [Finding(name="replayed", value=sent, unit="requests", text=text, ok=not offered[-1].unsent)]

    def _came(self) -> tuple[list[Came], int]:
        methods, speed = str(self.numbers["methods"]).split(), float(self.numbers["speed"])
        return self.read_bytes(".log", lambda raw: read_came(raw, methods, speed=speed))


class ReplayUser(CohortUser):
    """``locust -f scenarios/replay.py --host URL --number file=access.log``."""

    scenario = Replay
