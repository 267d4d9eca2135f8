"""What is said of memory that was looked at: growth is found, a step and noise are not taken for it."""

from random import Random

import pytest

from tests.support.memory import most_slope_a_minute, slope_a_minute


def looks(level):
    draw = Random(7)
    return [(float(second), level(second) + draw.randint(-40, 40)) for second in range(140)]


def test_what_grows_by_two_percent_a_minute_is_found_and_lies_within_the_bound():
    growing = looks(lambda second: round(30_000 * (1 + 0.02 * second / 60)))
    assert slope_a_minute(growing) == pytest.approx(0.02, rel=0.1)
    assert 0.019 < most_slope_a_minute(growing) < 0.024


def test_noise_and_a_step_are_no_growth_beyond_a_thousandth():
    assert most_slope_a_minute(looks(lambda _second: 30_000)) < 0.001
    stepping = looks(lambda second: 30_000 if second < 20 else 30_400)
    assert slope_a_minute(stepping) < 0.002


def test_what_does_not_move_at_all_has_the_bound_zero():
    assert most_slope_a_minute([(float(second), 30_000) for second in range(50)]) == 0
