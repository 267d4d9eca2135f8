"""Shares of requests that come in users."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.verdict.clusters import Levels, difference_of, effective_users, residuals, share_of
from darktime.split.verdict.exact import lower_limit, upper_limit

AT = Levels(low=0.025, high=0.025)


def test_requests_of_as_many_users_are_as_good_as_independent_ones():
    hits, counts = np.zeros(1000), np.ones(1000)
    hits[:30] = 1
    share = share_of(hits, counts, 0.05)
    low, high = share.low(0.025), share.high(0.025)
    assert low == pytest.approx(lower_limit(30, 1000, 0.025), rel=0.05)
    assert high == pytest.approx(upper_limit(30, 1000, 0.025), rel=0.05)


def test_that_nothing_failed_says_less_the_fewer_users_it_is_of():
    highs = [share_of(np.zeros(users), np.full(users, 10_000 / users), 0.05).high(0.025) for users in
             (10_000, 1000, 100, 10)]  # fmt: skip
    assert highs == sorted(highs)
    assert highs[0] == pytest.approx(3.69 / 10_000, rel=0.01)
    assert highs[-1] > 20 * highs[0]


def test_users_who_fail_always_or_never_count_as_one_request_each():
    hits, counts = np.zeros(1000), np.full(1000, 50.0)
    hits[:40] = 50
    share = share_of(hits, counts, 0.05)
    low, high = share.low(0.025), share.high(0.025)
    assert low < lower_limit(40, 1000, 0.025) * 1.1
    assert high > upper_limit(40, 1000, 0.025) * 0.9


def test_what_one_user_alone_makes_up_is_no_evidence_against_all():
    hits, counts = np.zeros(200), np.full(200, 20.0)
    hits[0] = counts[0] = 260
    assert share_of(hits, counts, 0.05).low(0.025) < 0.0001
    many = np.zeros(200)
    many[:65] = 4  # as many, of as many users
    assert share_of(many, counts, 0.05).low(0.025) > 0.03


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30))
def test_a_difference_lies_within_its_bounds_and_turns_with_its_sides(users):
    counts = np.array([a + b + c for a, b, c in users], dtype=float)
    worse, better = (np.array([one[at] for one in users], dtype=float) for at in (1, 2))
    ahead = difference_of(worse, better, counts, 0.05).interval(AT)
    back = difference_of(better, worse, counts, 0.05).interval(AT)
    assert -1.5 <= ahead.low <= ahead.value <= ahead.high <= 1.5
    assert (back.low, back.high) == pytest.approx((-ahead.high, -ahead.low), abs=1e-9)


def test_more_of_the_same_narrows():
    one = difference_of(np.array([3.0, 0, 1, 0]), np.zeros(4), np.full(4, 100.0), 0.05)
    assert one.interval(AT, 10).high < one.interval(AT).high
    assert one.interval(AT, 10).low >= one.interval(AT).low


def test_effective_users_are_all_where_they_are_equal_and_one_where_one_makes_all():
    assert effective_users(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_users(np.array([1e6, 1, 1])) == pytest.approx(1, abs=1e-4)
    assert effective_users(np.zeros(0)) == 0


def test_residuals_are_the_jackknifes_each_user_left_out_once():
    draw = np.random.default_rng(1)
    counts = draw.integers(1, 90, 30).astype(float)
    hits = draw.binomial(counts.astype(int), 0.3).astype(float)
    total = counts.sum()
    left_out = [(hits.sum() - hit) / (total - count) for hit, count in zip(hits, counts, strict=True)]
    assert residuals(hits, counts) == pytest.approx([total * (hits.sum() / total - share) for share in left_out])
