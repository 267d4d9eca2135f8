"""A ramp by a plan goes on at GO only, stays at WAIT, and goes back to nobody at NO-GO."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.schedule import Pilot, Schedule, read_schedule
from darktime.split.verdict import Verdict

HOLD_S = 600.0
OUTCOMES = st.sampled_from(["GO", "NO-GO", "WAIT"])


def verdict(outcome):
    return Verdict(outcome=outcome, reasons=("because",), needs="40 more users" if outcome == "WAIT" else None)


def pilot(text="1,5,25", now=0.0):
    return Pilot(read_schedule(text, HOLD_S), now)


@pytest.mark.parametrize(
    ("text", "hold_s", "named"),
    [
        ("", 600, "percentages with commas"),
        ("1,x", 600, "percentages with commas"),
        ("5,1", 600, "rising percentages"),
        ("5,5", 600, "rising percentages"),
        ("0,5", 600, "is nobody"),
        ("1,101", 600, "0 to 100"),
        ("nan", 600, "0 to 100"),
        ("1,5", 9, "--hold 9 s"),
        ("1,5", float("nan"), "--hold nan s"),
    ],
)
def test_a_plan_that_is_none_is_refused(text, hold_s, named):
    with pytest.raises(UsageError, match=named):
        read_schedule(text, hold_s)


def test_it_asks_in_the_middle_and_at_the_end_of_a_hold_and_goes_on_at_its_end_only():
    flight = pilot()
    assert not flight.due(299)
    assert flight.due(300)
    assert flight.decide(verdict("GO"), 300).percent is None, "half a hold is no hold"
    assert not flight.due(599)
    assert flight.due(600)
    decision = flight.decide(verdict("GO"), 600)
    assert (decision.percent, decision.over, flight.percent) == (5.0, "", 5.0)
    assert not flight.due(899)
    assert flight.looks == 2


def test_at_wait_it_stays_and_says_what_is_missing():
    flight = pilot()
    assert flight.due(700)
    decision = flight.decide(verdict("WAIT"), 700)
    assert decision.percent is None
    assert decision.over == ""
    assert "40 more users" in decision.said
    assert not flight.due(999)
    assert flight.due(1000)


@pytest.mark.parametrize("at", [300, 600, 6000])
def test_at_no_go_nobody_is_mirrored_any_more_at_once(at):
    flight = pilot()
    assert flight.due(at)
    decision = flight.decide(verdict("NO-GO"), at)
    assert decision.percent == 0.0
    assert "because" in decision.over


def test_after_the_last_hold_it_is_through():
    flight = pilot("5")
    assert flight.due(600)
    assert flight.decide(verdict("GO"), 600).over == "the ramp is through: GO at 5 %"


@given(st.lists(st.tuples(st.floats(0, 700), OUTCOMES), max_size=40))
def test_whatever_the_verdicts_are_the_percentage_only_rises_by_the_plan_or_falls_to_nobody(steps):
    flight, now, seen, began = Pilot(Schedule(percents=(1.0, 5.0, 25.0), hold_s=HOLD_S), 0.0), 0.0, [1.0], 0.0
    for wait, outcome in steps:
        now += wait
        if not flight.due(now):
            continue
        decision = flight.decide(verdict(outcome), now)
        if decision.percent is not None:
            if decision.percent:
                assert outcome == "GO"
                assert now - began >= HOLD_S
                began = now
            else:
                assert outcome == "NO-GO"
            seen.append(decision.percent)
        if decision.over:
            break
    rising = [one for one in seen if one]
    assert rising == [1.0, 5.0, 25.0][: len(rising)]
    assert 0.0 not in seen[:-1]
