"""Who was in: by bucket and percentage, step by step, of how many users, and which numbers are lower bounds."""

import random

import pytest

from darktime.split.draw import MOST_STEPS, of_how_many, steps_of, who_was_in
from darktime.split.experiment import kill_record, ramp_record
from darktime.split.sampling import sampled

BEGAN, ENDED = 1000.0, 2000.0


def ramp(at, after, before=0.0):
    return ramp_record(who="ann", before=before, after=after, why="", now=at)


def kill(at, *, killed=True, percent=5.0):
    return kill_record(killed=killed, who="ann", percent=percent, why="", now=at)


@pytest.mark.parametrize(
    ("ramps", "steps"),
    [
        ([], []),
        ([ramp(1000, 5)], [(1000, 2000, 5)]),
        ([ramp(400, 1), ramp(500, 5)], [(1000, 2000, 5)]),  # another host began it
        ([ramp(1000, 5), ramp(1100, 10), ramp(1200, 0)], [(1000, 1100, 5), (1100, 1200, 10)]),
        ([ramp(1000, 5), ramp(1100, 5), ramp(1200, 7)], [(1000, 1200, 5), (1200, 2000, 7)]),
        ([ramp(1000, 5), kill(1100), kill(1300, killed=False)], [(1000, 1100, 5), (1300, 2000, 5)]),
        ([ramp(1000, 5), kill(1100), ramp(1200, 8), kill(1300, killed=False)], [(1000, 1100, 5), (1300, 2000, 8)]),
        ([ramp(1000, 5), ramp(1500, 80)], [(1000, 1500, 5), (1500, 2000, 25)]),  # this host's most
        ([ramp(1000, 5), ramp(2500, 7)], [(1000, 2000, 5)]),
    ],
)
def test_a_step_is_a_percentage_for_as_long_as_it_stood_and_a_kill_is_none(ramps, steps):
    assert steps_of(ramps, between=(BEGAN, ENDED), most=25.0) == steps


def test_the_users_of_each_step_are_counted_once_and_of_how_many_is_told():
    seen = [("a", 1001.0), ("b", 1001.0), ("a", 1050.0), ("a", 1150.0), ("c", 1199.9), ("a", 999.0), ("d", 1250.0)]
    told = who_was_in(
        {"users": ["a", "b", "c", "d"]},
        seen,
        [ramp(1000, 5), ramp(1100, 10), ramp(1200, 0)],
        between=(BEGAN, ENDED),
    )
    assert (told["sampled"], told["at_least"], told["buckets"], told["seen"]) == (4, False, 1000, None)
    assert [(step["percent"], step["buckets"], step["users"]) for step in told["steps"]] == [(5, 50, 2), (10, 100, 2)]
    low, high = told["steps"][0]["of"].values()
    assert low < 2 / 0.05 < high


def test_what_is_a_lower_bound_says_so():
    state = {"users": ["a"], "users_forgotten": 3, "pairs_dropped": 1}
    told = who_was_in(state, [("a", 1001.0)], [ramp(1000, 5)], between=(BEGAN, ENDED))
    assert told["at_least"]
    assert told["steps_at_least"]
    whole = who_was_in({"users": ["a"], "users_forgotten": 0}, [], [ramp(1000, 5)], between=(BEGAN, ENDED))
    assert not whole["at_least"]
    assert not whole["steps_at_least"]


def test_where_a_list_says_who_is_in_the_draw_tells_nothing_of_how_many_there_are():
    told = who_was_in({}, [("a", 1001.0)], [ramp(1000, 5)], between=(BEGAN, ENDED), listed=True)
    assert told["steps"][0]["of"] is None


def test_of_many_ramps_the_last_are_kept_and_the_others_counted():
    ramps = [ramp(1000 + at, 1 + at % 2) for at in range(MOST_STEPS + 7)]
    told = who_was_in({}, [], ramps, between=(BEGAN, ENDED))
    assert (len(told["steps"]), told["steps_left_out"]) == (MOST_STEPS, 7)
    assert told["steps"][-1]["until"] == ENDED


@pytest.mark.parametrize(("users", "percent"), [(400, 1.0), (1_000, 5.0), (300, 50.0), (40, 100.0)])
def test_the_number_of_all_lies_within_the_bounds_in_nineteen_draws_of_twenty(users, percent):
    rng, within, draws = random.Random(7), 0, 200
    for number in range(draws):
        names = [f"u{rng.getrandbits(48)}" for _ in range(users)]
        found = sum(sampled(f"salt-{number}", name, percent) for name in names)
        bounds = of_how_many(found, percent / 100)
        within += bounds["low"] <= users <= bounds["high"]
    assert within >= draws * 0.92
