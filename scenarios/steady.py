"""Steady: the same number of requests every second, whether or not the service keeps up (an open model)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.pooled import pooled
from darktime.blast.scenario import Place, Scenario
from darktime.blast.sources import Fixed, get
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from darktime.blast.cohort import Cohort
    from darktime.blast.traffic import Traffic


class Steady(Scenario):
    """One path, asked for evenly."""

    doc = "the same number of requests every second, whether or not the service keeps up"

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """A pool that GETs ``path``."""
        path = str(self.numbers["path"])
        return pooled(cohort, place, self.numbers, Fixed(get(place.address, path)), name=path)


class SteadyUser(CohortUser):
    """``locust -f scenarios/steady.py --host URL``."""

    scenario = Steady
