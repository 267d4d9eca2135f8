"""The parts of a blast that compute: arrivals, histogram."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.arrivals import constant, poisson
from darktime.blast.histogram import Histogram, bucket_of, highest_of


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


@given(VALUES, VALUES)
def test_what_was_added_can_be_taken_out_again(first, second):
    one, both = Histogram(), Histogram()
    for value in first:
        one.add(value)
        both.add(value)
    for value in second:
        both.add(value)
    other = Histogram()
    for value in second:
        other.add(value)
    left = both.without(one)
    assert left.buckets() == other.buckets()
    assert (left.count, left.sum_us, left.overflow) == (other.count, other.sum_us, other.overflow)
    for percent in (50, 99) if not other.overflow else ():  # of what is in overflow only the whole's maximum is known
        assert left.percentile(percent) == pytest.approx(other.percentile(percent), rel=0.001)


def test_one_that_holds_nothing_takes_no_room_and_shares_none():
    empty, other = Histogram(), Histogram()
    other.add(5)
    assert (empty.buckets(), Histogram().buckets()) == ([], [])
    assert empty._buckets == []
    empty.merge(Histogram.from_dict(Histogram().to_dict()))
    assert empty._buckets == []


@given(st.integers(0, 2**32 - 1))
def test_a_value_lies_in_its_bucket_and_above_the_one_below(value):
    bucket = bucket_of(value)
    assert value <= highest_of(bucket)
    assert bucket == 0 or highest_of(bucket - 1) < value
