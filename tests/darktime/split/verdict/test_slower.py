"""Whether one side's p95 is above the other's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from darktime.split.verdict.clusters import Levels
from darktime.split.verdict.slower import Times, excess, lean, p95
from tests.darktime.split.verdict.truths import KINDS, clock, requests_of, times

AT = Levels(low=0.025, high=0.025)


def some(users=400, seed=3, kind="as_production", by=1.0):
    draw = np.random.default_rng(seed)
    production, dark, owner = times(draw, requests_of(draw, users, most=40), KINDS[kind])
    return Times.of(clock(draw, production), dark * by, owner)


@pytest.mark.parametrize("by", [0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bounds_are_where_the_test_turns(kind, by):
    seen = some(kind=kind, by=by)
    bounds = excess(seen, AT, ratio=1.1, slack_s=0.005)
    assert bounds.low < bounds.value < bounds.high
    for bound, sign in ((bounds.low, 1), (bounds.high, -1)):
        assert lean(seen, ratio=1.1, slack_s=0.005 + bound - sign * 1e-4).sign(AT) == sign
        assert lean(seen, ratio=1.1, slack_s=0.005 + bound + sign * 1e-4).sign(AT) != sign
    told = lean(seen, ratio=1.1, slack_s=0.005).sign(AT)
    assert told == (1 if bounds.low > 0 else -1 if bounds.high < 0 else 0)


def test_times_that_are_all_alike_to_the_tick_are_told_from_a_margin_of_milliseconds():
    owner = np.repeat(np.arange(50), 20)
    seen = Times.of(np.zeros(1000), np.full(1000, 0.002), owner)
    assert lean(seen, ratio=1.1, slack_s=0.005).sign(AT) == -1
    assert lean(seen, ratio=1.0, slack_s=0.0).sign(AT) == 1


def test_where_both_sides_are_equal_nothing_is_told_however_many_there_are():
    draw = np.random.default_rng(1)
    values, owner = draw.exponential(0.01, 20_000), np.repeat(np.arange(1000), 20)
    assert lean(Times.of(values, values, owner), ratio=1.0, slack_s=0.0).sign(AT) == 0


def test_a_tail_of_one_user_is_no_evidence_and_the_same_tail_of_many_is():
    owner = np.repeat(np.arange(200), 20)
    production = 0.02 + np.random.default_rng(1).normal(0, 0.001, len(owner))
    lone = np.where(owner == 7, 0.5, production)
    weight = np.where(owner == 7, 20, 1)  # he makes a tenth of all requests
    busy = Times.of(*(np.repeat(values, weight) for values in (production, lone)), np.repeat(owner, weight))
    assert p95(busy.dark) > 10 * p95(busy.production)
    assert lean(busy, ratio=1.1, slack_s=0.005).sign(AT) == 0
    many = Times.of(production, np.where(owner % 10 == 7, 0.5, production), owner)
    assert lean(many, ratio=1.1, slack_s=0.005).sign(AT) == 1


def test_times_that_are_one_and_the_same_are_counted_in_parts():
    """As where a proxy answers for the instance after a fixed time: of half of them nothing is above the other half."""
    owner = np.repeat(np.arange(100), 20)
    production = np.random.default_rng(1).uniform(0.01, 0.02, len(owner))
    late = np.where(owner % 5 == 0, 0.0505, production)  # no whole millisecond: it is not spread
    assert lean(Times.of(late, late, owner), ratio=1.0, slack_s=0.0).value == 0
    assert lean(Times.of(production, late, owner), ratio=1.0, slack_s=0.0).value == pytest.approx(0.1, abs=0.001)


def test_of_two_pairs_nothing_can_be_told_and_no_bound_is_made_up():
    bounds = excess(
        Times.of(np.array([0.01, 0.02]), np.array([0.01, 0.03]), np.array([0, 1])), AT, ratio=1.1, slack_s=0
    )
    assert (bounds.low, bounds.high) == (-math.inf, math.inf)


def test_the_order_of_the_sides_turns_the_sign():
    seen = some(by=1.5)
    swapped = Times.of(seen.dark, seen.production, seen.owner)
    assert lean(seen, ratio=1, slack_s=0).sign(AT) == -lean(swapped, ratio=1, slack_s=0).sign(AT) == 1
