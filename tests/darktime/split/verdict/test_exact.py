"""Exact limits, held against sums of the binomial distribution itself, and against published tables."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.verdict.exact import beta_quantile, lower_limit, mcnemar, student, upper_limit


def at_least(hits, count, share):
    """The chance of so many hits or more."""
    return sum(comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(hits, count + 1))


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.05, 0.025, 0.0016, 0.00001]))
def test_a_limit_is_where_what_was_seen_has_just_that_chance(count, hits, alpha):
    hits = min(hits, count)
    low, high = lower_limit(hits, count, alpha), upper_limit(hits, count, alpha)
    assert 0 <= low <= hits / count <= high <= 1
    if hits:
        assert at_least(hits, count, low) == pytest.approx(alpha, rel=1e-6)
    if hits < count:
        assert 1 - at_least(hits + 1, count, high) == pytest.approx(alpha, rel=1e-6, abs=1e-10)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(worse, better):
    count, least = worse + better, min(worse, better)
    exact = min(Fraction(1), 2 * Fraction(sum(comb(count, k) for k in range(least + 1)), 2**count))
    assert mcnemar(worse, better) == pytest.approx(float(exact), rel=1e-9)
    assert mcnemar(worse, better) == mcnemar(better, worse)


@pytest.mark.parametrize(
    ("alpha", "freedom", "t"),
    [(0.025, 1, 12.7062), (0.025, 10, 2.2281), (0.05, 5, 2.0150), (0.005, 30, 2.7500), (0.025, 1e6, 1.9600)],
)
def test_t_is_as_the_tables_have_it(alpha, freedom, t):
    assert student(alpha, freedom) == pytest.approx(t, abs=6e-5)


def test_limits_of_many_and_of_almost_none_can_be_had():
    assert upper_limit(0, 1e9, 0.025) == pytest.approx(3.68888e-9, rel=1e-5)
    assert lower_limit(500_000, 1_000_000, 0.025) == pytest.approx(0.49902, abs=1e-5)
    assert 0 <= beta_quantile(0.025, 0.02, 1.3) < 1e-20


def test_of_nothing_nothing_is_known():
    assert (lower_limit(0, 0, 0.025), upper_limit(0, 0, 0.025)) == (0.0, 1.0)
