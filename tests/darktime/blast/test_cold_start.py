"""A cold start is told from stalls, from noise, and from an instance that never gets warm; and it is never hidden."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.cold_start import without_cold_start
from darktime.blast.counts import Counts
from darktime.blast.histogram import Histogram
from darktime.blast.offered import Offered
from darktime.blast.result import judge
from darktime.blast.slo import parse_slo
from tests.darktime.blast.runs import undisturbed
from tests.darktime.blast.simulated import health
from tests.darktime.blast.test_growth import came, even, one_by_one

pytestmark = pytest.mark.quiet

STRICT = parse_slo("p99<200ms,errors<1%")


def held(means_ms, *, seed=1, failures=0, rate=100):
    """A plan, and its seconds: times drawn around a mean each."""
    random, whole, seconds = Random(seed), Counts(), []
    for at, mean in enumerate(means_ms):
        counts = Counts(requests=rate)
        for _ in range(rate):
            counts.latency.add(round(1000 * mean * random.uniform(0.6, 1.4)))
        for _ in range(failures if at == 0 else 0):
            counts.fail("status_5xx")
        seconds.append(counts.latency)
        whole.merge(counts)
    count = len(means_ms)
    plan = Offered(
        rate_per_s=rate, duration_s=count, planned=whole.requests, unsent=0, health=health(), counts=whole, stage="hold"
    )
    return plan, seconds


def judged(means_ms, **given):
    plan, seconds = held(means_ms, **given)
    means = [times.sum_us / times.count for times in seconds]
    found = without_cold_start(plan, means, seconds)
    return found, judge(found, STRICT)


def test_two_cold_seconds_do_not_decide_and_both_figures_are_kept():
    found, probe = judged([900, 600, *[20] * 18])
    assert (probe.outcome, found.cold_start.seconds) == ("pass", 2)
    assert probe.p99_ms < 30
    assert found.whole_latency().percentile_ms(99) > 900
    assert "The first 2 s were a cold start and are not judged" in found.cold_start.sentence(found.whole_latency())
    assert probe.requests == 2000, "nothing is left out of what is counted"


@pytest.mark.parametrize("seed", range(10))
def test_no_more_is_left_out_than_was_cold(seed):
    found, probe = judged([600, 440, 110, *[5.5] * 7], seed=seed)
    assert (probe.outcome, found.cold_start.seconds) == ("pass", 3)


def test_errors_of_a_cold_start_are_errors():
    _, probe = judged([900, 600, *[20] * 18], failures=100)
    assert (probe.outcome, probe.errors) == ("fail", 100)


@pytest.mark.parametrize(
    "means", [[20, 900, *[20] * 18], [20] * 10 + [900] + [20] * 9, [900, *[20] * 9, 900, *[20] * 9]]
)
def test_a_stall_is_no_cold_start(means):
    _, probe = judged(means)
    assert probe.outcome == "fail"


def test_what_is_cold_for_more_than_half_is_not_decided():
    _, probe = judged([*[900] * 7, *[20] * 5])
    assert probe.outcome == "undecided"
    assert "cold for 7 of 12 seconds: measure longer" in probe.why


def test_too_few_seconds_are_not_looked_at():
    found, probe = judged([900, *[20] * 5])
    assert (found.cold_start, probe.outcome) == (None, "fail")


@settings(deadline=None, max_examples=50)
@given(st.integers(8, 40), st.integers(0, 10_000))
def test_what_wavers_by_chance_has_no_cold_start(count, seed):
    random = Random(seed)
    found, _ = judged([random.uniform(15, 25) for _ in range(count)], seed=seed, rate=20)
    assert found.cold_start is None


def worker(rate, seconds, service_s):
    """One worker, first come first served, as a plan with its spans and its seconds; ``service_s`` by the time."""
    replies = list(one_by_one(even(rate, seconds), service_s))
    timed, counts = [Histogram() for _ in range(seconds)], Counts(requests=len(replies))
    for at, took in replies:
        counts.latency.add(round(took * 1e6))
        if at < seconds:
            timed[int(at)].add(round(took * 1e6))
    return Offered(
        rate_per_s=rate,
        duration_s=seconds,
        planned=len(replies),
        unsent=0,
        health=health(),
        counts=counts,
        spans=came(replies, seconds),
    ), [times for times in timed if times.count]


def decided(plan, seconds):
    found = without_cold_start(plan, [times.sum_us / times.count for times in seconds], seconds)
    return found, judge(found, STRICT)


@settings(deadline=None, max_examples=40)
@given(st.floats(1.05, 3), st.integers(8, 30))
def test_a_queue_that_grows_has_no_cold_start_and_fails(beyond, seconds):
    found, probe = decided(*worker(round(100 * beyond), seconds, lambda _: 0.01))
    assert (found.cold_start, probe.outcome) == (None, "fail")


@settings(deadline=None, max_examples=40)
@given(st.floats(0.5, 3), st.integers(12, 30), st.floats(0.002, 0.02))
def test_a_queue_of_a_cold_start_that_is_worked_off_is_not_called_one_that_grows(cold_s, seconds, slow_s):
    found, probe = decided(*worker(100, seconds, lambda at: slow_s if at < cold_s else 0.001))
    assert "went into a queue" not in probe.why
    assert probe.outcome == "pass" or found.cold_start is None, probe.why


def test_in_a_real_run_a_cold_start_is_left_out_said_and_counted(instance):
    server = instance("delay", delay="constant:5", cold_s=1.5, cold_ms=600)
    run = undisturbed(server.address, "--path", "/", "--rate", "100", "--duration", "10", "--slo", "p99<300ms")
    cold, totals = run.found["cold_start"], run.found["totals"]
    assert run.code == 0, run.said
    assert 1 <= cold["seconds"] <= 3
    assert run.found["latency"]["p99_ms"] < 300
    assert cold["whole"]["p99_ms"] > 600
    assert cold["sentence"] in run.found["sentence"]
    assert totals["requests"] == server.counters()["requests"] == run.found["locust"]["requests"] == 1000
