"""What is planned is sent, all of it, however late the process wakes up."""

import time

import pytest

from darktime.blast.arrivals import Share
from darktime.blast.cohort import Cohort
from darktime.blast.counts import Counts
from darktime.blast.offer import Offering
from darktime.blast.plan import Plan
from darktime.blast.tally import Tally
from darktime.blast.traffic import Traffic


class Answered:
    """A load whose every send is answered at once."""

    closed_model = False
    in_flight = waiting = open_connections = served_connections = 0
    standing = True
    ended = (0, 0)

    def __init__(self):
        self.sent = []

    def submit(self, planned):
        self.sent.append(planned)
        return True

    def drop_waiting(self):
        return 0

    def abandon(self, _reason):
        return 0

    def take(self):
        return Counts()


class Late(Cohort):
    """Wakes up long after it wanted to."""

    def turn(self, timeout_s):
        super().turn(timeout_s)
        time.sleep(0.04)


@pytest.mark.parametrize("cohort", [Cohort, Late])
def test_what_was_due_before_the_end_is_sent_by_whoever_wakes_up_after_it(cohort):
    cohort, load = cohort(), Answered()
    traffic = Traffic(load, method="GET", name="/")
    try:
        offering = Offering(cohort, traffic, Tally(cohort, traffic, []), Share(0, 1), lambda: False)
        offered = offering.offer(Plan(stage="hold", rate_per_s=600, duration_s=0.5, drain_s=0.0))
    finally:
        cohort.close()
    assert offered.planned == len(load.sent) == 300
