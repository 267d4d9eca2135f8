"""Bounds of a share, held against the binomial sum in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.bounds import above, at_least, upper


def summed(hits: int, count: int, share: float) -> float:
    p = Fraction(share)
    return float(sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(hits, count + 1)))


COUNTS = st.integers(1, 60).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


@given(COUNTS, st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_sum(seen: tuple[int, int], share: float) -> None:
    assert math.isclose(at_least(*seen, share), summed(*seen, share), rel_tol=1e-9, abs_tol=1e-14)


@given(COUNTS, st.sampled_from([0.025, 1e-3, 1e-6]))
def test_a_share_at_the_upper_bound_gives_so_few_with_the_stated_probability(
    seen: tuple[int, int], error: float
) -> None:
    hits, count = seen
    bound = upper(hits, count, error)
    if hits == count:
        assert bound == 1
    else:
        assert hits / count < bound < 1
        assert math.isclose(1 - summed(hits + 1, count, bound), error, rel_tol=1e-4)


@given(COUNTS, st.floats(0.01, 0.9), st.sampled_from([0.025, 1e-4]))
def test_the_lower_bound_is_above_a_share_where_so_many_would_be_improbable(
    seen: tuple[int, int], share: float, error: float
) -> None:
    hits, count = seen
    assert above(hits, count, share, error) is (hits > share * count and summed(hits, count, share) < error)


def test_large_counts_are_exact_too() -> None:
    # One-sided 97.5 % of 0 and of 10 in 100,000; the rule of 3.69 and the Poisson table's 18.39.
    assert math.isclose(upper(0, 100_000, 0.025), 3.6889e-5, rel_tol=1e-3)
    assert math.isclose(upper(10, 100_000, 0.025), 18.39e-5, rel_tol=1e-3)
    assert above(100, 100_000, 80e-5, 0.025)
    assert not above(100, 100_000, 82e-5, 0.025)
