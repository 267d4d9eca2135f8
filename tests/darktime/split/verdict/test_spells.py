"""A machine that stalls for a moment makes everybody slow who asks just then: many users, and one thing that befell them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare import Pair, Side
from darktime.split.verdict import judge
from darktime.split.verdict.spells import LEAST, MOST, stretches

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0
STALL_S = 2.5


def traffic(draw: np.random.Generator, dark: Callable[[float], float], count: int = 1200) -> list[Pair]:
    """A minute of pairs, each user asking five times within four seconds. ``dark``: by how many seconds it is slower when."""
    pairs = []
    for number in range(count):
        at = SECONDS * number / count
        sides = [
            Side(status=200, content_type="a/b", length=1, seconds=0.02 + draw.exponential(0.01) + more)
            for more in (0.0, dark(at))
        ]
        user = f"{number % 16}-{number // 16 // 5}"
        pairs.append(Pair(id=str(number), endpoint="/p", user=user, at=at, production=sides[0], dark=sides[1]))
    return pairs


def outcome(pairs: list[Pair]) -> str:
    """By latency alone: errors need more pairs to be ruled out."""
    return judge(pairs, []).outcome


def test_two_stalls_in_a_minute_that_the_dark_side_felt_more_are_no_no_go() -> None:
    draw = np.random.default_rng(1)
    verdicts = []
    for _ in range(40):
        begins = draw.uniform(0, SECONDS, 2)
        pairs = traffic(draw, lambda at, begins=begins: 0.3 * any(one <= at < one + STALL_S for one in begins))  # type: ignore[misc]
        verdicts.append(outcome(pairs))
        # Without the time at which each began it is taken for the code's: so many users cannot be wrong.
    assert verdicts.count("NO-GO") == 0
    assert outcome([replace(pair, at=0.0) for pair in pairs]) == "NO-GO"


@pytest.mark.parametrize(
    "slower",
    [lambda _at: 0.03, lambda at: 0.06 * (int(at * 5) % 2), lambda at: 0.05 * (at > SECONDS / 2)],
    ids=["always", "every-other-moment", "from-the-middle-on"],
)
def test_code_that_is_slower_is_still_no_go(slower: Callable[[float], float]) -> None:
    draw = np.random.default_rng(2)
    assert [outcome(traffic(draw, slower)) for _ in range(10)] == ["NO-GO"] * 10


def moment(draw: np.random.Generator, dark: Callable[[float], float], both: Callable[[float], float]) -> list[Pair]:
    """Two seconds of pairs, each of a user of its own; production takes 19 ms. By how many seconds dark is slower, and both."""
    pairs = []
    for number in range(200):
        at = number / 100
        sides = [
            Side(status=200, content_type="a/b", length=1, seconds=0.019 + draw.exponential(0.003) + more + both(at))
            for more in (0.0, dark(at))
        ]
        pairs.append(Pair(id=str(number), endpoint="/p", user=str(number), at=at, production=sides[0], dark=sides[1]))
    return pairs


def test_in_two_seconds_sides_that_lie_far_apart_are_told_though_the_slowest_of_both_fall_into_one_moment() -> None:
    draw = np.random.default_rng(3)
    for _ in range(20):
        begins = draw.uniform(0, 1.7)
        pairs = moment(draw, lambda _at: 0.4, lambda at, begins=begins: 0.1 * (begins <= at < begins + 0.3))  # type: ignore[misc]
        verdict = judge(pairs, [])
        assert verdict.outcome == "NO-GO"
        assert [reason.split(" ms")[0] for reason in verdict.reasons] == [f"/p: p95 {p95_ms(pairs):.1f}"]


def p95_ms(pairs: list[Pair]) -> float:
    return 1000 * float(np.quantile([pair.dark.seconds for pair in pairs], 0.95))


def test_in_two_seconds_the_same_code_with_a_bad_second_that_the_dark_side_felt_alone_is_no_no_go() -> None:
    draw = np.random.default_rng(4)
    for _ in range(40):
        begins = draw.uniform(0, 1)
        bad = moment(draw, lambda at, begins=begins: 0.4 * (begins <= at < begins + 1), lambda _at: 0.0)  # type: ignore[misc]
        assert outcome(bad) != "NO-GO"
    assert outcome([replace(pair, at=0.0) for pair in bad]) == "NO-GO", "without its time it would be the code's"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300))
def test_whatever_the_times_are_each_stretch_has_as_many_pairs_and_no_later_one_is_before_it(at: list[float]) -> None:
    numbers = stretches(np.array(at, dtype=float))
    if numbers is None:
        return
    sizes = np.bincount(numbers)
    assert LEAST <= len(sizes) <= MOST
    assert sizes.max() - sizes.min() <= 1
    ordered = numbers[np.argsort(np.array(at), kind="stable")]
    assert (np.diff(ordered) >= 0).all()


def test_pairs_of_one_moment_have_no_stretches_and_an_hour_has_twenty() -> None:
    assert stretches(np.zeros(1000)) is None
    assert stretches(np.array([0.0, np.inf] * 100)) is None
    assert stretches(np.linspace(0, 3600, 39)) is None, "too few to cut"
    assert len(np.bincount(stretches(np.linspace(0, 3600, 1000)))) == 20
    assert len(np.bincount(stretches(np.linspace(0, 14.5, 1000)))) == 7
