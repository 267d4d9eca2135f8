"""Shares decided by Wilson's interval, and times counted above a limit."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.histogram import Histogram
from darktime.blast.wilson import below, least_count, still_needed, wilson


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_interval_holds_the_share_and_lies_within_0_and_1(hits, more):
    count = hits + more
    low, high = wilson(hits, count)
    assert 0 <= low <= (hits / count if count else 0) <= high <= 1


def test_the_interval_is_the_textbooks():
    assert wilson(10, 100, z=1.96) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 300, z=1.96)[1] == pytest.approx(0.01264, abs=1e-4)


def test_a_share_on_the_limit_is_decided_wrongly_in_one_of_twenty_runs_at_most():
    random, passed, failed = Random(3), 0, 0
    for _ in range(2000):
        ok = below(sum(random.random() < 0.01 for _ in range(1000)), 1000, 0.01)
        passed, failed = passed + (ok is True), failed + (ok is False)
    assert passed / 2000 < 0.06
    assert failed / 2000 < 0.08, "counts are whole numbers: the bound is met on average only"


@pytest.mark.parametrize(("share", "count"), [(0.01, 300), (0.001, 3000), (0.5, 6), (0.1, 30)])
def test_without_a_miss_a_limit_needs_so_many_before_it_is_met(share, count):
    assert least_count(share) == count
    assert below(0, count - 1, share) is None
    assert below(0, count, share) is True
    assert still_needed(0, count - 1, share) == 1


def test_where_none_is_allowed_the_first_decides():
    assert below(0, 5, 0.0) is True
    assert below(1, 1_000_000, 0.0) is False
    assert below(0, 0, 0.0) is None


@given(st.integers(0, 50), st.integers(100, 5000), st.sampled_from([0.1, 0.01, 0.001]))
def test_as_many_more_as_it_says_decide_it_if_the_share_stays(hits, count, share):
    more = still_needed(hits, count, share)
    if more is None:
        assert hits / count == pytest.approx(share)
        return
    times = math.ceil((count + more) / count)
    assert below(hits * times, count * times, share) is not None


TIMES = st.lists(st.integers(0, 2**34), min_size=1, max_size=200)


@settings(deadline=None)
@given(TIMES, st.one_of(st.integers(0, 2**34), st.integers(0, 5000)), st.data())
def test_times_above_a_limit_are_the_sorted_lists_to_within_a_thousandth(values, limit, data):
    limit = data.draw(st.sampled_from([limit, *values]))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    above = histogram.count_above(limit)
    assert above >= sum(value > limit for value in values)
    if limit < 2**32:
        assert above <= sum(value > limit * (1 - 1 / 1024) - 1 for value in values)


@settings(deadline=None)
@given(TIMES, st.integers(0, 2**34), st.sampled_from([50, 90, 99, 99.9, 100]))
def test_a_percentile_lies_above_a_limit_exactly_when_too_many_times_do(values, limit, percent):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = max(math.ceil(round(percent * len(values) / 100, 9)), 1)
    assert (histogram.percentile(percent) > limit) is (histogram.count_above(limit) > len(values) - rank)
