"""The parts of a blast that compute: arrivals, histogram, objective, search."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.arrivals import constant, poisson
from darktime.blast.histogram import Histogram, bucket_of, highest_of
from darktime.blast.search import Search
from darktime.blast.slo import parse_slo
from darktime.errors import UsageError


@given(st.floats(0.5, 5000), st.floats(0.05, 3), st.lists(st.floats(0, 4), min_size=1, max_size=20))
def test_a_plan_is_the_same_however_often_it_is_asked(rate, duration, looks):
    plan, asked = constant(rate, duration), []
    for look in sorted(looks):
        asked += plan.due(min(look, duration))
    asked += plan.due(duration)
    assert asked == constant(rate, duration).due(duration)
    assert asked == pytest.approx([number / rate for number in range(len(asked))])
    assert len(asked) == pytest.approx(rate * duration, abs=1)
    assert plan.next_s() == math.inf


def test_random_arrivals_have_the_rate_and_the_gaps_they_should_and_repeat_with_the_seed():
    times = poisson(1000, seed=7, duration_s=30).due(30)
    assert times == poisson(1000, seed=7, duration_s=30).due(30) != poisson(1000, seed=8, duration_s=30).due(30)
    assert len(times) == pytest.approx(30_000, rel=0.03)
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))
    assert gaps[len(gaps) // 2] == pytest.approx(math.log(2) / 1000, rel=0.05), "the median of exponential gaps"


@pytest.mark.parametrize("rate", [0, -1, math.inf])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="above 0"):
        constant(rate)


VALUES = st.lists(st.integers(0, 2**34), min_size=1, max_size=200)


@settings(deadline=None)
@given(VALUES, st.floats(0, 100))
def test_a_percentile_is_the_sorted_lists_within_a_thousandth(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = max(math.ceil(round(percent * len(values) / 100, 9)), 1)
    exact, found = sorted(values)[rank - 1], histogram.percentile(percent)
    if exact < 2**32:
        assert exact <= found <= exact * 1.001 + 1
    else:
        assert found == max(values), "beyond the range only the maximum is exact"


@settings(deadline=None)
@given(VALUES, VALUES)
def test_a_merge_is_an_addition_and_saving_loses_nothing(first, second):
    one, two, both = Histogram(), Histogram(), Histogram()
    for values, histogram in ((first, one), (second, two), (first + second, both)):
        for value in values:
            histogram.add(value)
    one.merge(two)
    assert one.to_dict() == both.to_dict() == Histogram.from_dict(both.to_dict()).to_dict()


@given(st.integers(0, 2**32 - 1))
def test_a_value_lies_in_its_bucket_and_above_the_one_below(value):
    bucket = bucket_of(value)
    assert value <= highest_of(bucket)
    assert bucket == 0 or highest_of(bucket - 1) < value


@settings(deadline=None)
@given(st.floats(2, 150_000), st.floats(1, 1000))
def test_a_search_brackets_the_true_limit_within_a_tenth_in_few_tries(limit, start):
    search, tries = Search(start_per_s=start, max_per_s=200_000), 0
    while (rate := search.next_rate()) is not None:
        search.record(rate, passed=rate <= limit)
        tries += 1
        assert tries < 60
    assert search.highest_pass_per_s <= limit < search.lowest_fail_per_s <= search.highest_pass_per_s * 1.1 * 1.001


def test_one_hiccup_is_no_limit_and_a_maximum_that_holds_is_said_to_hold():
    search = Search(start_per_s=100, max_per_s=1600)
    hiccups = iter([True, False, True, True, True, True, True])
    while (rate := search.next_rate()) is not None:
        search.record(rate, passed=next(hiccups))
    assert search.held_maximum
    assert search.lowest_fail_per_s is None


def test_an_instance_that_holds_nothing_ends_the_search_at_its_lower_end():
    search = Search(start_per_s=8, max_per_s=100)
    while (rate := search.next_rate()) is not None:
        search.record(rate, passed=False)
    assert search.highest_pass_per_s is None
    assert search.lowest_fail_per_s == 1


def test_an_objective_is_read_and_shown():
    assert str(parse_slo("p95<50ms, errors<1%")) == "p95 < 50 ms, errors < 1 %"
    assert parse_slo("errors<0.5%").limit_ms == 200


@pytest.mark.parametrize("text", ["", "p99<200", "p101<2ms", "fast", "p99<200ms;errors<1%"])
def test_an_objective_that_cannot_be_read_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="p99<200ms"):
        parse_slo(text)
