"""A death on the way and the verdict."""

import pytest

from darktime.split.incidents import weakened
from darktime.split.verdict import Verdict


@pytest.mark.parametrize(("before", "after"), [("GO", "WAIT"), ("WAIT", "WAIT"), ("NO-GO", "NO-GO")])
def test_after_a_death_nothing_is_go_and_the_first_reason_says_why(before, after):
    verdict = weakened(Verdict(outcome=before, reasons=("seen",)), ["relay died"])
    assert verdict.outcome == after
    assert verdict.reasons[0] == "relay died"


def test_without_a_death_a_verdict_stays_as_it_is():
    verdict = Verdict(outcome="GO", reasons=("seen",))
    assert weakened(verdict, []) is verdict
