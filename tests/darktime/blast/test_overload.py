"""Behaviour beyond capacity, and whether an instance comes back from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.counts import Counts
from darktime.blast.offered import Second
from darktime.blast.overload import at_capacity, judge_overload
from darktime.blast.result import GENERATOR, judge
from darktime.blast.session import Session
from darktime.blast.settings import BlastSettings
from darktime.blast.slo import Slo
from tests.darktime.blast.simulated import health, heard, offered, times


def probe(rate, good):
    return judge(offered((5, good), (900, rate - good), rate=rate, planned=rate), Slo())


def seconds(*p99s, failing=0):
    return [
        Second(
            at_s=100 + number,
            planned=100,
            counts=Counts(requests=100, failures=failing, latency=times((p99_ms, 100))),
        )
        for number, p99_ms in enumerate(p99s)
    ]


@pytest.mark.parametrize(
    ("good_at_2x", "verdict"),
    [(1000, "graceful"), (910, "graceful"), (800, "degrading"), (560, "degrading"), (500, "collapse"), (0, "collapse")],
)
def test_what_is_left_of_the_goodput_names_the_overload(good_at_2x, verdict):
    found = judge_overload(probe(1000, 1000), [probe(1200, 990), probe(2000, good_at_2x)], [])
    assert (found.verdict, found.metastable) == (verdict, False)
    assert found.ratio == pytest.approx(good_at_2x / 1000)
    assert verdict in found.sentence
    assert "not looked at" in found.sentence


def test_the_peak_is_wherever_the_goodput_was_highest():
    assert judge_overload(probe(1000, 1000), [probe(1200, 1200), probe(2000, 600)], []).ratio == 0.5


def test_recovery_is_timed_to_the_first_of_several_good_seconds():
    found = judge_overload(probe(1000, 1000), [probe(2000, 950)], seconds(4000, 2000, 6, 900, 6, 6, 6, 6))
    assert (found.recovered_after_s, found.metastable) == (4, False)
    assert "within 4 s" in found.sentence


def test_an_instance_that_stays_down_is_metastable():
    found = judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(*[3000] * 60))
    assert (found.verdict, found.recovered_after_s, found.metastable) == ("collapse", None, True)
    assert "no recovery in 60 s at the low rate: metastable" in found.sentence


def test_fast_errors_are_no_recovery():
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(*[5] * 60, failing=50)).metastable


def test_seconds_without_a_reply_are_no_recovery():
    silent = [Second(at_s=number, planned=100) for number in range(20)]
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], silent).metastable


def test_a_span_too_short_tells_nothing():
    found = judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(3000, 3000))
    assert (found.recovered_after_s, found.metastable) == (None, False)
    assert "too short" in found.sentence


def test_of_streams_the_deliveries_count():
    rows = seconds(*[5] * 20)
    for row in rows:
        row.deliveries = heard((3000, 1000))
    assert judge_overload(probe(1000, 1000), [probe(2000, 300)], rows).metastable


@given(st.lists(st.sampled_from([5, 3000]), min_size=10, max_size=40))
def test_it_has_recovered_exactly_when_three_good_seconds_follow_each_other(p99s):
    found = judge_overload(probe(1000, 1000), [probe(2000, 950)], seconds(*p99s))
    text = "".join("." if ms == 5 else "x" for ms in p99s)
    at = text.find("...")
    assert found.recovered_after_s == (None if at < 0 else at)
    assert found.metastable is (at < 0)


def test_without_a_probe_beyond_or_any_goodput_nothing_is_said():
    with pytest.raises(ValueError, match="beyond"):
        judge_overload(probe(1000, 1000), [], [])
    with pytest.raises(ValueError, match="peak"):
        judge_overload(probe(1000, 0), [probe(2000, 0)], [])


def test_overload_is_held_against_the_rate_that_was_capacity_and_not_against_a_look_below_it():
    probes = [probe(1000, 1000), probe(1100, 800), probe(1000, 1000), probe(1100, 700), probe(800, 800)]
    baseline = at_capacity(probes, 1000.0)
    assert baseline is probes[2]
    beyond = [probe(1200, 700), probe(2000, 450)]
    assert judge_overload(baseline, beyond, []).verdict == "collapse"
    assert judge_overload(probes[-1], beyond, []).verdict == "degrading", "what the look below would have made of it"


def throttled(rate, good):
    """Half of the plan was sent, by a process without a core."""
    bound = health(cpu_share=0.99, achieved_share=0.5)
    found = judge(offered((5, good), (900, rate // 2 - good), rate=rate, planned=rate, health=bound), Slo())
    assert found.outcome == GENERATOR
    return found


def test_where_the_generator_was_the_limit_no_kind_of_overload_is_named():
    found = judge_overload(probe(1000, 1000), [throttled(1200, 100), throttled(2000, 100)], seconds(*[5] * 20))
    assert (found.verdict, found.ratio, found.metastable) == ("unknown", None, False)
    assert "the generator was the limit, so no kind of overload is named" in found.sentence
    assert "50.0% of the plan" in found.sentence
    assert not [word for word in ("graceful", "degrading", "collapse") if word in found.sentence]


def test_a_peak_that_only_a_throttled_generator_saw_is_no_peak():
    odd = judge(offered((5, 600), rate=1200, planned=1200, duration=0.5, health=health(achieved_share=0.5)), Slo())
    assert (odd.outcome, odd.goodput_per_s) == (GENERATOR, 1200)
    assert judge_overload(probe(1000, 1000), [odd, probe(2000, 950)], []).ratio == 0.95


def test_whether_it_recovers_is_not_told_by_a_throttled_generator():
    found = judge_overload(probe(1000, 1000), [probe(2000, 300)], seconds(*[3000] * 20), low=throttled(500, 10))
    assert (found.verdict, found.recovered_after_s, found.metastable) == ("collapse", None, None)
    assert "whether it recovers was not seen" in found.sentence


def test_the_factor_is_the_one_that_was_offered():
    found = judge_overload(probe(1000, 1000), [probe(1300, 990)], [], allowed=False)
    assert found.factor == 1.3
    assert "At 1,300/s, 1.3 times the capacity (--max-rate), " in found.sentence
    assert "2 times the capacity, " in judge_overload(probe(1000, 1000), [probe(2000, 990)], []).sentence


def test_nobody_is_called_graceful_who_does_not_come_back():
    found = judge_overload(probe(1000, 1000), [probe(2000, 950)], seconds(*[3000] * 60))
    assert (found.verdict, found.metastable) == ("metastable", True)
    assert "95% of the best goodput is left, yet it does not come back; no recovery in 60 s" in found.sentence
    assert "graceful" not in found.sentence


class Head:
    """Offers nothing; every rate up to its limit was held."""

    def __init__(self, limit):
        self.limit, self.plans = limit, []

    def offer(self, plan, *, patient=False):
        self.plans.append((plan, patient))
        many = round(plan.rate_per_s * plan.duration_s)
        good = many if plan.rate_per_s <= self.limit else round(self.limit * plan.duration_s)
        return offered(
            (5, good),
            (900, many - good),
            rate=plan.rate_per_s,
            planned=many,
            stage=plan.stage,
            duration=plan.duration_s,
        )

    def finish(self):
        pass


class Rows:
    recent = ()


def beyond(limit, **given):
    """A session that was to go beyond, and its head."""
    asked = BlastSettings(instance="127.0.0.1:9", beyond=True, seed=7, **given)
    head = Head(limit)
    run = Session(asked, head, push=False, scenario=None, record=Rows(), on_probe=None, stop=lambda: False)
    run.run()
    return run, head


def test_a_run_that_may_not_go_so_far_goes_as_far_as_it_may_and_says_so():
    run, head = beyond(1000, max_rate_per_s=1300.0)
    capacity = run.search.highest_pass_per_s
    rates = [plan.rate_per_s for plan, _ in head.plans if plan.stage == "beyond"]
    assert rates == pytest.approx([capacity * 1.2, 1300.0])
    assert run.overload.factor == pytest.approx(1300 / capacity, abs=0.001)
    assert {plan.seed for plan, _ in head.plans} == {7}, "the arrivals that were asked for"


@pytest.mark.parametrize(
    ("limit", "given", "why"), [(0, {}, "no rate was held"), (1e9, {"max_rate_per_s": 900.0}, "no rate failed")]
)
def test_without_a_capacity_it_is_said_that_nothing_was_offered_beyond_it(limit, given, why):
    run, head = beyond(limit, **given)
    assert run.overload is None
    assert not [plan for plan, _ in head.plans if plan.stage == "beyond"]
    assert run.not_beyond == f"Nothing was offered beyond the capacity (--beyond), for none was found: {why}."


def test_errors_may_end_a_try_of_a_search_and_not_what_lies_beyond():
    run, head = beyond(1000)
    assert run.overload is not None
    assert {plan.stage for plan, patient in head.plans if patient} == {"beyond", "recover"}
