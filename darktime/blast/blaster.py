"""The one user of a driven run's process: it does what the head says.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from darktime.blast.hand import Hand, Inbox
from darktime.blast.user import CohortUser

if TYPE_CHECKING:
    from darktime.blast.cohort import Cohort


class Blaster(CohortUser):
    """``inbox`` is set once the process's runner is there."""

    inbox: ClassVar[Inbox | None] = None

    def run_cohort(self, cohort: Cohort) -> None:
        """Take the task, offer the plans, stop."""
        assert self.inbox is not None
        Hand(self.environment, cohort, self.inbox).run()
