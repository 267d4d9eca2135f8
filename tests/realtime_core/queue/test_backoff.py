"""How long a failed job waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.queue.backoff import MAX_BACKOFF_S, backoff_s


@given(st.integers(1, 10_000), st.floats(0, 300), st.floats(0, 1, exclude_max=True))
def test_it_is_between_the_base_doubled_for_each_attempt_and_twice_that(
    attempt: int, base_s: float, chance: float
) -> None:
    floor = min(base_s * 2.0 ** min(attempt - 1, 30), MAX_BACKOFF_S)
    assert floor <= backoff_s(attempt, base_s, chance) <= 2 * floor


def test_it_doubles() -> None:
    assert [backoff_s(attempt, 1.0, 0.0) for attempt in (1, 2, 3, 4, 20)] == [1, 2, 4, 8, 300]
