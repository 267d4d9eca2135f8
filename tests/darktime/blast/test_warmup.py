"""Warm-up is cut off where the rest is surest; of hours of seconds within seconds."""

import time
from random import Random
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.warmup import mser, warm_up


def noisy(levels, *, seed=1, share=0.03):
    random = Random(seed)
    return [level * random.gauss(1, share) for level in levels]


def test_a_warm_up_is_cut_off_and_the_rest_used():
    assert 5 <= warm_up(noisy([100, 80, 60, 40, 25, 15, *[10] * 54])) <= 15


def test_a_steady_series_is_used_nearly_whole():
    assert sum(warm_up(noisy([10] * 60, seed=seed)) <= 6 for seed in range(100)) >= 95


def test_a_window_that_is_mostly_warm_up_says_so():
    assert warm_up(noisy([*[100] * 40, *[10] * 20])) > 30


def test_single_seconds_are_looked_at_unless_there_are_hundreds():
    assert mser([90, 50, *[10, 11, 10, 9, 10, 11, 10]]) == 2
    assert mser([90, 50, *[10, 11, 10, 9, 10] * 100]) == 5


def test_a_beginning_that_differs_little_is_none_and_so_is_one_of_too_few():
    assert warm_up([10.3] * 3 + [10.0] * 27) == 0
    assert warm_up([100, 1, 1]) == 0


def test_a_day_of_seconds_is_judged_in_the_time_and_memory_that_it_takes_to_read_them():
    series = noisy([100] * 50 + [10] * 86_350)
    began = time.process_time()
    assert 50 <= warm_up(series) <= 55
    assert time.process_time() - began < 5, "all pairs of seconds are 3.7 thousand million"


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=80))
def test_the_tail_is_the_one_whose_mean_is_surest(series):
    def surety(tail):
        mean = fmean(tail)
        return round(sum((value - mean) ** 2 for value in tail) / len(tail) ** 2, 9)

    found = mser(series)
    assert 0 <= found <= len(series) - 4
    last = len(series) - max(4, len(series) // 3)
    assert surety(series[found:]) <= min(surety(series[drop:]) for drop in range(last + 1)) + 1e-9
