"""Steady: the same number of requests every second, whether or not the service keeps up (an open model)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.requests import RequestPool
from darktime.blast.scenario import Place, Scenario
from darktime.blast.sources import Fixed, get
from darktime.blast.traffic import Traffic
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from darktime.blast.cohort import Cohort


class Steady(Scenario):
    """One path, asked for evenly."""

    doc = "the same number of requests every second, whether or not the service keeps up"

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """A pool that GETs ``path``."""
        path, size = str(self.numbers["path"]), max(place.part(int(self.numbers["connections"])), 1)
        pool = RequestPool(
            cohort,
            place.address,
            Fixed(get(place.address, path)),
            size=size,
            timeout_s=place.timeout_s,
            source_ips=place.source_ips,
        )
        return Traffic(pool, method="GET", name=path, size=size)


class SteadyUser(CohortUser):
    """``locust -f scenarios/steady.py --host URL``."""

    scenario = Steady
