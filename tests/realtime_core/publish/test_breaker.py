from __future__ import annotations

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.publish import Breaker


def test_after_some_failures_in_a_row_nothing_is_tried_until_its_time_is_over_and_then_one_probe() -> None:
    breaker = Breaker(failures=3, open_s=1.0, max_open_s=4.0)
    for _ in range(2):
        breaker.failure(10.0)
        assert breaker.allow(10.0)
    breaker.failure(10.0)
    assert not breaker.closed
    assert not breaker.allow(10.9)
    assert breaker.wait_s(10.25) == 0.75
    assert breaker.allow(11.0), "the one probe"
    assert not breaker.allow(11.0), "nothing beside it"
    breaker.success()
    assert breaker.closed
    assert breaker.allow(11.0)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    breaker, now, waits = Breaker(failures=1, open_s=1.0, max_open_s=4.0), 0.0, []
    for _ in range(5):
        breaker.failure(now)
        waits.append(breaker.wait_s(now))
        now += waits[-1]
        assert breaker.allow(now)
    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_success_between_failures_begins_the_count_again() -> None:
    breaker = Breaker(failures=2)
    for _ in range(5):
        breaker.failure(0.0)
        breaker.success()
    assert breaker.closed


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": 0.0}, {"open_s": 3.0, "max_open_s": 2.0}])
def test_limits_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Breaker(**wrong)  # type: ignore[arg-type]
