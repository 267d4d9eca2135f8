"""The search, against instances that are simulated."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.search import Durations, Search
from darktime.blast.tries import CONFIRM

RATES = st.floats(2, 150_000)
STARTS = st.floats(1, 1000)


def run(search, outcome, *, most=200):
    """Tries until the search ends; ``outcome`` is given a Try and gives what ``record`` takes."""
    tries = []
    while (attempt := search.next()) is not None:
        found = outcome(attempt)
        word, answered = found if isinstance(found, tuple) else (found, None)
        search.record(attempt.rate_per_s, word, answered_per_s=answered)
        tries.append((attempt, word))
        assert len(tries) < most
    return tries


def limited(limit):
    return lambda attempt: "pass" if attempt.rate_per_s <= limit else "fail"


def capped(limit):
    """Answers what it can and refuses the rest: a token bucket."""
    return lambda attempt: "pass" if attempt.rate_per_s <= limit else ("fail", limit)


@settings(deadline=None)
@given(RATES, STARTS, st.sampled_from([1.1, 1.03]), st.booleans())
def test_it_brackets_the_true_limit_as_narrowly_as_asked_in_few_tries(limit, start, precision, confirm):
    search = Search(start_per_s=start, max_per_s=200_000, precision=precision, confirm=confirm)
    tries = run(search, limited(limit), most=75)
    low, high = search.highest_pass_per_s, search.lowest_fail_per_s
    assert low <= limit < high <= low * precision * 1.001
    assert (search.verdict, search.limited_by, search.reversals) == ("found", "instance", 0)
    assert search.confirmed is confirm
    assert confirm is any(attempt.stage == CONFIRM for attempt, _ in tries)


@settings(deadline=None)
@given(RATES, STARTS)
def test_an_instance_that_says_what_it_can_is_found_at_once(limit, start):
    search = Search(start_per_s=start, max_per_s=200_000, precision=1.03)
    tries = run(search, capped(limit))
    doubling = [attempt for attempt, _ in tries if attempt.stage == "double"]
    assert search.highest_pass_per_s <= limit < search.lowest_fail_per_s <= search.highest_pass_per_s * 1.0301
    assert len(tries) - len(doubling) <= 12


def test_a_500_a_second_instance_is_found_to_be_that_within_three_percent_in_few_seconds():
    search = Search(start_per_s=100, max_per_s=200_000, precision=1.03)
    tries = run(search, capped(500))
    assert 500 / 1.03 <= search.highest_pass_per_s <= 500 < search.lowest_fail_per_s <= 515.1
    assert len(tries) <= 9
    assert sum(attempt.duration_s for attempt, _ in tries) < 15


@settings(deadline=None)
@given(st.floats(20, 50_000), st.integers(0, 10_000))
def test_noise_at_the_limit_and_rare_hiccups_are_no_other_limit(limit, seed):
    random = Random(seed)

    def noisy(attempt):
        # Within 2 % of the limit it may go either way; elsewhere a hiccup fails one try in 30.
        if attempt.rate_per_s > limit * random.uniform(0.98, 1.02) or random.random() < 1 / 30:
            return "fail"
        return "pass"

    search = Search(start_per_s=50, max_per_s=200_000, precision=1.03, confirm=True)
    run(search, noisy)
    if search.verdict == "found":
        # Two hiccups of three tries are one rate in 300, of which there are 15.
        assert search.highest_pass_per_s <= limit * 1.021
    else:
        assert search.verdict in {"noisy", "nothing"}


def test_rare_hiccups_leave_nearly_every_search_within_five_percent():
    good = 0
    for seed in range(200):
        random = Random(seed)

        def hiccups(attempt, random=random):
            return "fail" if attempt.rate_per_s > 500 or random.random() < 1 / 30 else "pass"

        search = Search(start_per_s=50, max_per_s=200_000, precision=1.03, confirm=True)
        run(search, hiccups)
        good += search.verdict == "found" and 475 <= search.highest_pass_per_s <= 500
    assert good >= 180


@pytest.mark.parametrize("pass_share", [0.5, 0.7])
def test_outcomes_by_chance_are_said_to_be_noise_and_hardly_ever_become_a_capacity(pass_share):
    verdicts = []
    for seed in range(200):
        random = Random(seed)
        search = Search(start_per_s=50, max_per_s=200_000, precision=1.03, confirm=True)
        run(search, lambda _, random=random: "pass" if random.random() < pass_share else "fail")
        verdicts.append(search.verdict)
        assert (search.verdict == "noisy") is bool(search.interval.noise)
    assert verdicts.count("noisy") >= 170
    assert verdicts.count("found") <= 20


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.floats(1, 5000))
def test_whatever_the_outcomes_are_it_ends_and_its_interval_is_in_order(seed, confirm, start):
    random = Random(seed)
    search = Search(start_per_s=start, max_per_s=50_000, precision=1.03, confirm=confirm)
    words = ["pass", "fail", "undecided", "generator"]

    def outcome(attempt):
        assert 1 <= attempt.rate_per_s <= 50_000
        low, high = search.highest_pass_per_s, search.lowest_fail_per_s
        assert low is None or high is None or low < high
        return random.choice(words), random.choice([None, 0.0, attempt.rate_per_s * random.random()])

    run(search, outcome, most=400)
    assert search.verdict != "searching"


def test_one_hiccup_is_no_limit_and_a_maximum_that_holds_is_said_to_hold():
    outcomes = iter(["pass", "fail", "pass", "pass", "pass", "pass", "pass"])
    search = Search(start_per_s=100, max_per_s=1600)
    run(search, lambda _: next(outcomes))
    assert search.held_maximum
    assert search.verdict == "maximum"
    assert search.lowest_fail_per_s is None
    assert search.reversals == 1


def test_an_instance_that_holds_nothing_ends_the_search_at_its_lower_end():
    search = Search(start_per_s=8, max_per_s=100)
    run(search, lambda _: "fail")
    assert (search.highest_pass_per_s, search.lowest_fail_per_s) == (None, 1)
    assert search.verdict == "nothing"


def test_an_undecided_try_is_repeated_longer_and_not_for_ever():
    search = Search(start_per_s=100, max_per_s=150, durations=Durations(double_s=1.0, bisect_s=1.0))
    tries = run(search, lambda attempt: "undecided" if attempt.rate_per_s > 140 else "pass")
    spans = [attempt.duration_s for attempt, _ in tries if attempt.rate_per_s == 150]
    assert spans == [1.0, 2.0, 4.0]
    assert search.limited_by == "undecided"
    assert search.highest_pass_per_s <= 140 < search.lowest_fail_per_s


def test_an_upper_end_that_was_undecided_in_passing_is_tried_again_for_longer():
    search = Search(start_per_s=500, max_per_s=200_000)

    def outcome(attempt):
        if attempt.rate_per_s == 500:
            return "undecided" if attempt.duration_s < 5 else "fail"
        return "pass" if attempt.rate_per_s < 500 else "fail"

    tries = run(search, outcome)
    assert (search.verdict, search.limited_by, search.lowest_fail_per_s) == ("found", "instance", 500)
    assert search.highest_pass_per_s >= 500 / 1.1 / 1.0001
    assert [(a.rate_per_s, a.stage) for a, _ in tries if a.duration_s >= 5] == [(500, CONFIRM)]


def test_an_upper_end_that_holds_when_it_is_tried_longer_is_passed():
    search = Search(start_per_s=500, max_per_s=200_000)

    def outcome(attempt):
        if attempt.rate_per_s == 500 and attempt.duration_s < 5:
            return "undecided"
        return "pass" if attempt.rate_per_s <= 700 else "fail"

    run(search, outcome)
    assert search.highest_pass_per_s <= 700 < search.lowest_fail_per_s <= search.highest_pass_per_s * 1.101


def test_above_an_upper_end_that_stays_undecided_a_failure_names_the_limit():
    search = Search(start_per_s=500, max_per_s=200_000)
    tries = run(search, lambda a: "pass" if a.rate_per_s < 500 else "undecided" if a.rate_per_s == 500 else "fail")
    assert (search.limited_by, search.lowest_fail_per_s) == ("undecided", 500)
    assert [word for attempt, word in tries if attempt.rate_per_s == pytest.approx(550)] == ["fail", "fail"]


def test_an_undecided_try_that_no_longer_one_would_decide_is_not_repeated():
    for more_s, tries in ((0.5, 3), (2.9, 3), (3.1, 1), (None, 1)):
        search = Search(start_per_s=100, max_per_s=100, min_per_s=100, durations=Durations(double_s=1.0))
        count = 0
        while (attempt := search.next()) is not None:
            count += 1
            search.record(
                attempt.rate_per_s, "undecided", more_s=max(more_s - attempt.duration_s + 1, 0) if more_s else None
            )
        assert count == tries, more_s


def test_a_pass_on_the_very_limit_that_cannot_be_confirmed_gives_way_to_one_that_can():
    search = Search(start_per_s=100, max_per_s=10_000, precision=1.03, confirm=True)

    def outcome(attempt):
        if attempt.stage == CONFIRM and 490 < attempt.rate_per_s <= 500:
            return "undecided"
        return limited(500)(attempt)

    run(search, outcome)
    assert search.confirmed
    assert 460 < search.highest_pass_per_s <= 490


def test_what_never_can_be_confirmed_is_no_capacity():
    search = Search(start_per_s=100, max_per_s=10_000, confirm=True)
    run(search, lambda attempt: "undecided" if attempt.stage == CONFIRM else limited(500)(attempt))
    assert search.verdict == "noisy"
    assert "did not hold when they were held again" in search.noise


def test_where_the_generator_is_the_limit_a_lower_failure_of_the_instance_is_still_found():
    def outcome(attempt):
        if attempt.rate_per_s > 1200:
            return "generator"
        return "fail" if attempt.rate_per_s > 900 else "pass"

    search = Search(start_per_s=100, max_per_s=200_000)
    run(search, outcome)
    assert search.verdict == "found"
    assert search.limited_by == "instance"
    assert search.highest_pass_per_s <= 900 < search.lowest_fail_per_s


def test_where_only_the_generator_is_the_limit_it_is_said_to_be():
    search = Search(start_per_s=100, max_per_s=200_000)
    run(search, lambda attempt: "generator" if attempt.rate_per_s > 1200 else "pass")
    assert search.verdict == search.interval.limited_by == "generator"


def test_a_pass_that_was_luck_is_lowered_until_it_holds():
    lucky = {"left": 1}

    def outcome(attempt):
        if 500 < attempt.rate_per_s <= 560 and attempt.stage != CONFIRM and lucky["left"]:
            lucky["left"] -= 1
            return "pass"
        return "pass" if attempt.rate_per_s <= 500 else "fail"

    search = Search(start_per_s=100, max_per_s=10_000, precision=1.03, confirm=True)
    run(search, outcome)
    assert not lucky["left"], "it was lucky once"
    assert search.confirmed
    assert 500 / 1.031 <= search.highest_pass_per_s <= 500 < search.lowest_fail_per_s <= 516


def test_it_stops_with_the_interval_so_far_when_the_time_is_spent():
    search, left = Search(start_per_s=100, max_per_s=200_000, precision=1.03, confirm=True), 10.0
    while (attempt := search.next(left)) is not None:
        left -= attempt.duration_s
        search.record(attempt.rate_per_s, "pass" if attempt.rate_per_s <= 777 else "fail")
    assert left >= 0
    assert search.interval.budget_spent
    assert search.highest_pass_per_s <= 777 < search.lowest_fail_per_s
    assert not search.confirmed


def test_a_try_lasts_until_there_can_be_enough_requests():
    durations = Durations(double_s=1.0, least_requests=300, longest_s=10.0)
    assert [durations.of("double", rate) for rate in (1000, 100, 1)] == [1.0, 3.0, 10.0]


def test_it_asks_for_the_same_until_it_is_told():
    search = Search(start_per_s=100, max_per_s=1000)
    assert search.next() == search.next()
    assert search.next_rate() == 100
    search.record(100, passed=True)
    assert search.next_rate() == 200


def test_a_pass_above_a_failure_moves_the_failure_away_and_is_counted():
    search = Search(start_per_s=100, max_per_s=1000)
    for _ in range(2):
        search.record(100, "fail")
    search.record(300, "pass")
    assert search.highest_pass_per_s is None, "what contradicts is tried again"
    search.record(300, "pass")
    assert (search.highest_pass_per_s, search.lowest_fail_per_s) == (300, None)
    assert search.reversals == 1


def test_an_outcome_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="maybe"):
        Search(start_per_s=1, max_per_s=2).record(1, "maybe")
