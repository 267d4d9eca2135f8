"""Behaviour beyond capacity, and whether an instance comes back from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.counts import Counts
from darktime.blast.offered import Second
from darktime.blast.overload import at_capacity, judge_overload
from darktime.blast.result import judge
from darktime.blast.slo import Slo
from tests.darktime.blast.simulated import heard, offered, times


def probe(rate, good):
    return judge(offered((5, good), (900, rate - good), rate=rate, planned=rate), Slo())


def seconds(*p99s, failing=0):
    return [
        Second(
            at_s=100 + number,
            planned=100,
            counts=Counts(requests=100, failures=failing, latency=times((p99_ms, 100))),
        )
        for number, p99_ms in enumerate(p99s)
    ]


@pytest.mark.parametrize(
    ("good_at_2x", "verdict"),
    [(1000, "graceful"), (910, "graceful"), (800, "degrading"), (560, "degrading"), (500, "collapse"), (0, "collapse")],
)
def test_what_is_left_of_the_goodput_names_the_overload(good_at_2x, verdict):
    found = judge_overload(probe(1000, 1000), [probe(1200, 990), probe(2000, good_at_2x)], [])
    assert (found.verdict, found.metastable) == (verdict, False)
    assert found.ratio == pytest.approx(good_at_2x / 1000)
    assert verdict in found.sentence
    assert "not looked at" in found.sentence


def test_the_peak_is_wherever_the_goodput_was_highest():
    assert judge_overload(probe(1000, 1000), [probe(1200, 1200), probe(2000, 600)], []).ratio == 0.5


def test_recovery_is_timed_to_the_first_of_several_good_seconds():
    found = judge_overload(probe(1000, 1000), [probe(2000, 950)], seconds(4000, 2000, 6, 900, 6, 6, 6, 6))
    assert (found.recovered_after_s, found.metastable) == (4, False)
    assert "within 4 s" in found.sentence


def test_an_instance_that_stays_down_is_metastable():
    found = judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(*[3000] * 60))
    assert (found.verdict, found.recovered_after_s, found.metastable) == ("collapse", None, True)
    assert "no recovery in 60 s at the low rate: metastable" in found.sentence


def test_fast_errors_are_no_recovery():
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(*[5] * 60, failing=50)).metastable


def test_seconds_without_a_reply_are_no_recovery():
    silent = [Second(at_s=number, planned=100) for number in range(20)]
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], silent).metastable


def test_a_span_too_short_tells_nothing():
    found = judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(3000, 3000))
    assert (found.recovered_after_s, found.metastable) == (None, False)
    assert "too short" in found.sentence


def test_of_streams_the_deliveries_count():
    rows = seconds(*[5] * 20)
    for row in rows:
        row.deliveries = heard((3000, 1000))
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], rows).metastable


@given(st.lists(st.sampled_from([5, 3000]), min_size=10, max_size=40))
def test_it_has_recovered_exactly_when_three_good_seconds_follow_each_other(p99s):
    found = judge_overload(probe(1000, 1000), [probe(2000, 950)], seconds(*p99s))
    text = "".join("." if ms == 5 else "x" for ms in p99s)
    at = text.find("...")
    assert found.recovered_after_s == (None if at < 0 else at)
    assert found.metastable is (at < 0)


def test_without_a_probe_beyond_or_any_goodput_nothing_is_said():
    with pytest.raises(ValueError, match="beyond"):
        judge_overload(probe(1000, 1000), [], [])
    with pytest.raises(ValueError, match="peak"):
        judge_overload(probe(1000, 0), [probe(2000, 0)], [])


def test_overload_is_held_against_the_rate_that_was_capacity_and_not_against_a_look_below_it():
    probes = [probe(1000, 1000), probe(1100, 800), probe(1000, 1000), probe(1100, 700), probe(800, 800)]
    baseline = at_capacity(probes, 1000.0)
    assert baseline is probes[2]
    beyond = [probe(1200, 700), probe(2000, 450)]
    assert judge_overload(baseline, beyond, []).verdict == "collapse"
    assert judge_overload(probes[-1], beyond, []).verdict == "degrading", "what the look below would have made of it"
