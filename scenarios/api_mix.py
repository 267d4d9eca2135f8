"""API mix: plain HTTP, the requests of a file one after the other, over and over; by users of a file, each in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.access_log import read_list
from darktime.blast.pooled import pooled
from darktime.blast.scenario import Finding, Place, Scenario
from darktime.blast.templates import ForUsers, Template, read_users
from darktime.blast.user import CohortUser
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.cohort import Cohort
    from darktime.blast.offered import Offered
    from darktime.blast.traffic import Traffic


class ApiMix(Scenario):
    """Requests from a file."""

    doc = "plain HTTP requests from a file, METHOD PATH [BODY] a line, in turn, as users of a file"

    def traffic(self, cohort: Cohort, place: Place) -> Traffic:
        """A pool that takes the file's requests in turn."""
        kind = {"Content-Type": str(self.numbers["content_type"])}
        listed = self.read(".txt", read_list)
        templates = [Template(listed=one, fields=(kind if one.body else {}) | dict(one.headers)) for one in listed]
        users = self.read_named("users", read_users) if self.numbers["users"] else [{}]
        try:
            mine = ForUsers(place.address, templates, users[place.share.index :: place.share.workers] or users[:1])
        except ValueError as error:
            raise UsageError(f"api_mix: {error}") from error
        return pooled(cohort, place, self.numbers, mine, method="MIX", name=f"{len(listed)} requests in turn")

    def findings(self, offered: Sequence[Offered]) -> Sequence[Finding]:
        """What came back."""
        counts = offered[-1].counts
        said = ", ".join(f"{status}: {times:,}" for status, times in sorted(counts.statuses.items()))
        share = 100 * (1 - counts.failures / counts.requests) if counts.requests else None
        return [
            Finding(name="answered well", value=share, unit="%", text=said),
            Finding(name="service p99", value=counts.service.percentile_ms(99), unit="ms", text="from the sending"),
        ]


class ApiMixUser(CohortUser):
    """``locust -f scenarios/api_mix.py --host URL --number file=requests.txt``."""

    scenario = ApiMix
