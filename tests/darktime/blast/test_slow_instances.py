"""The quick search at instances that take few requests a second: what it gives holds the truth, or it gives nothing."""

from random import Random

import pytest

from darktime.blast.conclude import conclude
from darktime.blast.growth import LEAST_EVEN, LEAST_RANDOM, SHORTFALL_LIMIT
from darktime.blast.result import UNDECIDED, judge
from darktime.blast.search import Search
from darktime.blast.session import DRAIN_S, QUICK, QUICK_RANDOM, START_HTTP_PER_S
from darktime.blast.slo import parse_slo
from darktime.errors import ExitCode
from tests.darktime.blast.runs import blast
from tests.darktime.blast.simulated import queue

# A limit far away: only that a queue grows tells that a rate is too much.
SLO = parse_slo("p50<1000ms")
BUDGET_S = 60.0
# What a queue may take in and still be none.
NEAR = 1 + SHORTFALL_LIMIT


def searched(capacity, seed, *, even, budget_s=BUDGET_S):
    """What a search of an instance with this capacity concludes, and the seconds that it took."""
    random = Random(seed)
    search = Search(start_per_s=START_HTTP_PER_S, max_per_s=200_000, durations=QUICK if even else QUICK_RANDOM)
    probes, left_s = [], budget_s
    while (attempt := search.next(left_s)) is not None:
        drain_s = max(DRAIN_S, SLO.good_ms / 1000)
        offered = queue(
            attempt.rate_per_s,
            attempt.duration_s,
            service_s=1 / capacity,
            stage=attempt.stage,
            drain_s=drain_s,
            seed=random.random(),
            even=even,
            wavers=0.1,
        )
        probe = judge(offered, SLO)
        probes.append(probe)
        search.record(attempt.rate_per_s, probe.outcome, answered_per_s=probe.achieved_per_s, more_s=probe.more_s)
        left_s -= attempt.duration_s + (0.0 if probe.passed else drain_s)
    return conclude(probes, search.interval, SLO, unit="requests"), budget_s - left_s


def beside(found, capacity):
    """By how much the capacity that was given lies outside of its interval: 1 where it does not, or none was given."""
    low, high = found.highest_pass_per_s, found.lowest_fail_per_s
    if found.exit_code != ExitCode.OK:
        return 1.0
    return max((low or 0.0) / capacity, capacity / high if high else 1.0, 1.0)


@pytest.mark.parametrize("capacity", [10, 25, 100, 500])
def test_at_even_arrivals_the_truth_is_in_every_interval(capacity):
    outside = {seed: beside(searched(capacity, seed, even=True)[0], capacity) for seed in range(25)}
    assert max(outside.values()) <= NEAR, outside


@pytest.mark.parametrize("capacity", [25, 100, 500])
def test_at_random_arrivals_the_truth_is_in_nearly_every_interval_and_beside_the_others_by_little(capacity):
    outside = {seed: beside(searched(capacity, seed, even=False)[0], capacity) for seed in range(25)}
    assert sum(factor > NEAR for factor in outside.values()) <= 2, outside
    assert max(outside.values()) <= 1.1, outside


@pytest.mark.parametrize("budget_s", [5.0, 10.0, 20.0])
def test_a_budget_that_is_too_short_gives_a_wide_interval_that_is_said_to_be_so_or_none(budget_s):
    for seed in range(10):
        found, took_s = searched(25, seed, even=True, budget_s=budget_s)
        assert took_s <= budget_s + 2 * DRAIN_S, "what was begun is drained"
        assert beside(found, 25) <= NEAR
        if found.exit_code == ExitCode.OK and found.lowest_fail_per_s > found.highest_pass_per_s * 1.11:
            assert "a longer --duration helps" in found.sentence


def test_a_try_of_a_slow_instance_lasts_until_a_queue_would_be_seen():
    for stage in ("double", "bisect"):
        for rate_per_s in (5, 25, 100, 500, 5000):
            assert QUICK.of(stage, rate_per_s) * rate_per_s >= LEAST_EVEN
        for rate_per_s in (25, 100, 500, 5000):
            assert QUICK_RANDOM.of(stage, rate_per_s) * rate_per_s >= LEAST_RANDOM * 0.99
        assert QUICK.of(stage, 0.1) == QUICK.longest_s


def test_too_few_replies_to_see_a_queue_are_no_pass_of_a_search():
    few = queue(2, 20, service_s=0.01, stage="bisect", even=True)
    assert (judge(few, SLO).outcome, judge(few, SLO).why) == (
        UNDECIDED,
        "40 replies are too few to see whether a queue grows",
    )
    few.stage = "hold"
    assert judge(few, SLO).passed, "a rate that was asked for was held so long as was asked for"


def test_arrivals_that_were_fewer_by_chance_are_no_pass_of_the_rate_that_was_to_be_tried():
    few = queue(30, 20, service_s=0.01, stage="bisect", even=True)
    few.rate_per_s = 33.0
    assert judge(few, SLO).outcome == UNDECIDED
    assert judge(few, SLO).why == "by chance only 30.0/s came: too few for a rate of 33.0/s"


def test_a_real_instance_of_25_a_second_is_not_found_to_hold_more(instance):
    run = blast(instance("fifo", service="constant:40").address, "--path", "/", "--duration", "18", "--slo", "p50<1s")
    found = run.found["capacity"]
    low, high = found["highest_pass_per_s"], found["lowest_fail_per_s"]
    assert low is None or low <= 25 * NEAR, run.said
    assert high is None or high >= 25 / NEAR, run.said
    assert run.code != ExitCode.OK or low is not None, run.said
