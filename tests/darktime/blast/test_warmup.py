"""Warm-up is cut off where the rest is surest, and a window that still moves is not used."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.warmup import mser, theil_sen, warm_up


def noisy(levels, *, seed=1, share=0.03):
    random = Random(seed)
    return [level * random.gauss(1, share) for level in levels]


def test_a_warm_up_is_cut_off_and_the_rest_used():
    series = noisy([100, 80, 60, 40, 25, 15, *[10] * 54])
    found = warm_up(series)
    assert 5 <= found.discard <= 15
    assert found.steady, found.why


def test_a_steady_series_is_used_nearly_whole():
    good = 0
    for seed in range(100):
        found = warm_up(noisy([10] * 60, seed=seed))
        good += bool(found.steady) and found.discard <= 6
    assert good >= 95


def test_a_series_that_never_settles_is_refused():
    found = warm_up(noisy([10 + second for second in range(60)]))
    assert found.steady is False
    assert "rises" in found.why or "warmed up" in found.why


def test_a_window_that_is_mostly_warm_up_is_refused():
    found = warm_up(noisy([*[100] * 40, *[10] * 20]))
    assert found.discard > 30
    assert not found.steady
    assert "measure longer" in found.why


def test_single_seconds_are_looked_at_unless_there_are_hundreds():
    assert mser([90, 50, *[10, 11, 10, 9, 10, 11, 10]]) == 2
    assert mser([90, 50, *[10, 11, 10, 9, 10] * 100]) == 5


def test_a_slope_that_is_sure_and_small_is_none():
    assert warm_up([100 + second * 0.01 for second in range(30)]).steady


def test_too_few_values_tell_nothing():
    assert warm_up([1, 2, 3]).steady is None


@given(st.floats(-100, 100), st.floats(-10, 10), st.integers(3, 40))
def test_the_slope_of_a_straight_line_is_its_own(start, slope, count):
    found, low, high = theil_sen([start + slope * at for at in range(count)])
    assert found == pytest.approx(slope, abs=1e-6)
    assert low <= found + 1e-9
    assert high >= found - 1e-9


def test_the_bounds_hold_the_true_slope_in_nineteen_of_twenty_series():
    inside = 0
    for seed in range(300):
        random = Random(seed)
        _, low, high = theil_sen([0.5 * at + random.gauss(0, 3) for at in range(30)])
        inside += low <= 0.5 <= high
    assert inside >= 275


def test_one_wild_value_does_not_make_a_slope():
    flat = [10.0, 10.1, 9.9, 10.0, 10.1, 9.9, 10.0, 10.1, 9.9, 500.0]
    slope, low, high = theil_sen(flat)
    assert abs(slope) < 0.1
    assert low <= 0 <= high


def test_one_value_has_no_slope():
    assert theil_sen([5]) == (0.0, -math.inf, math.inf)


@given(st.lists(st.floats(0, 1000), min_size=6, max_size=80))
def test_whatever_the_series_is_something_of_it_remains(series):
    found = warm_up(series)
    assert 0 <= found.discard <= len(series) - 4
    assert found.slope_low <= found.slope_high
