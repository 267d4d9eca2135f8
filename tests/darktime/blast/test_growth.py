"""A queue that grows is told from long times, pauses and noise."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.growth import SHORTFALL_LIMIT, Spans, Times, shortfall, still_needed_s
from darktime.blast.histogram import Histogram
from darktime.blast.offered import Offered
from darktime.blast.result import judge
from darktime.blast.slo import parse_slo
from tests.darktime.blast.simulated import queue


def came(replies, duration_s):
    """Spans of replies, each (seconds since the beginning, seconds that it took)."""
    spans = {"first": Histogram(), "second": Histogram(), "after": Histogram()}
    for at, took in replies:
        name = "after" if at >= duration_s else "second" if at >= duration_s / 2 else "first"
        spans[name].add(round(took * 1e6))
    return Spans(**{name: Times.of(histogram) for name, histogram in spans.items()})


def one_by_one(arrivals, service_s):
    """Replies of one worker, first come first served; ``service_s`` of a request by when it begins."""
    free_at = 0.0
    for at in arrivals:
        free_at = max(free_at, at) + service_s(max(free_at, at))
        yield free_at, free_at - at


def even(rate, duration_s):
    return [number / rate for number in range(int(rate * duration_s))]


@given(beyond=st.floats(1.1, 4), duration=st.sampled_from([0.75, 1.5, 4, 20]), capacity=st.integers(300, 2000))
@settings(max_examples=60, deadline=None)
def test_the_share_that_goes_short_is_said_with_caution(beyond, duration, capacity):
    replies = one_by_one(even(capacity * beyond, duration), lambda _: 1 / capacity)
    short = 1 - 1 / beyond
    assert short - 0.05 < shortfall(came(replies, duration), duration) <= short + 0.002


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("duration", [1.5, 4, 20])
def test_random_arrivals_below_the_capacity_are_no_queue_that_grows(load, duration):
    found = [shortfall(queue(500 * load, duration, service_s=0.002, seed=seed).spans, duration) for seed in range(20)]
    assert sum(short > SHORTFALL_LIMIT for short in found) <= 1, found


@pytest.mark.parametrize("begins", [0.1, 1.0, 2.0, 2.4, 3.0])
def test_a_pause_that_is_over_is_no_queue_that_grows(begins):
    pause = lambda at: 0.5 if begins <= at < begins + 0.002 else 0.001  # noqa: E731
    spans = came(one_by_one(even(200, 4), pause), 4.0)
    assert spans.second.mean_s > spans.first.mean_s or begins < 2
    assert shortfall(spans, 4.0) == 0.0


@pytest.mark.parametrize("took", [0.05, 0.5, 1.0])
def test_a_long_time_that_stays_as_it_is_is_no_queue(took):
    spans = came(((at + took, took + 0.001 * (number % 7)) for number, at in enumerate(even(100, 4))), 4.0)
    assert shortfall(spans, 4.0) < 0.01
    assert still_needed_s(spans, 4.0) == pytest.approx(0 if took < 1 else 0.012, abs=0.001)


def test_too_few_replies_say_nothing():
    assert shortfall(came([(at, at) for at in even(20, 1.4)], 1.0), 1.0) == 0.0


def test_workers_and_seconds_add_up_to_the_same():
    replies = list(one_by_one(even(700, 2), lambda _: 0.002))
    whole = came(replies, 2.0)
    parts = came(replies[::2], 2.0) + came(replies[1::2], 2.0)
    assert (parts.first.count, parts.after.count) == (whole.first.count, whole.after.count)
    assert shortfall(parts, 2.0) == pytest.approx(shortfall(whole, 2.0))


def test_a_queue_without_a_limit_fails_beyond_its_capacity_though_every_reply_is_within_the_objective():
    loose = parse_slo("p50<5000ms,errors<1%")
    for rate, duration in itertools.product((545, 700, 1000), (1.5, 4)):
        probe = judge(queue(rate, duration, service_s=0.002, drain_s=5.0), loose)
        assert probe.outcome == "fail", (rate, duration, probe)
        assert "into a queue" in probe.why
    assert judge(queue(450, 4, service_s=0.002, drain_s=5.0), loose).outcome == "pass"


def test_a_probe_too_short_for_the_times_it_sees_asks_for_a_longer_one():
    loose = parse_slo("p99<5s,errors<1%")
    slow = Offered.from_dict(queue(200, 1.0, service_s=0.002, stage="bisect").to_dict())
    took = Times(count=60, sum_s=60 * 0.6, square_s2=60 * 0.36)
    slow.spans = Spans(first=Times(), second=took, after=took)
    probe = judge(slow, loose)
    assert (probe.outcome, probe.more_s) == ("undecided", pytest.approx(1.4))
    assert "too short to see whether a queue grows" in probe.why
    slow.stage = "hold"
    assert judge(slow, loose).outcome == "pass", "so long it was held, and no more is said"
