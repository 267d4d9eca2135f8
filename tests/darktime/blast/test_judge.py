"""One probe judged: thresholds, the queue rule, goodput, Little's law, and whose fault a failure is."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.blast.conclude import conclude
from darktime.blast.health import HEALTHY
from darktime.blast.histogram import Histogram
from darktime.blast.interval import of_plans
from darktime.blast.little import little_error
from darktime.blast.result import judge
from darktime.blast.search import Search
from darktime.blast.slo import Slo, parse_slo
from darktime.errors import ExitCode
from tests.darktime.blast.simulated import health, heard, offered, queue, times


def judged(*pairs, slo="p99<200ms,errors<0.1%", strict=False, **given):
    return judge(offered(*pairs, **given), parse_slo(slo), strict=strict)


def test_a_rate_that_was_held_passes_with_every_threshold_shown():
    probe = judged((5, 9_950), (150, 50), duration=10.0)
    assert (probe.outcome, probe.passed, probe.why) == ("pass", True, "held")
    assert [(one.text, one.ok, one.unit) for one in probe.thresholds] == [
        ("p99 < 200 ms", True, "ms"),
        ("errors < 0.1 %", True, "%"),
    ]
    assert probe.goodput_per_s == probe.achieved_per_s == 1000
    assert all(one.sure for one in probe.thresholds)
    assert not judged((5, 100)).thresholds[0].sure, "within the limit, of too few"


def test_two_of_a_hundred_too_slow_are_a_missed_p99_and_named():
    probe = judged((5, 9_800), (300, 200))
    assert (probe.outcome, probe.passed) == ("fail", False)
    assert probe.why == "p99 300 ms"


@pytest.mark.parametrize(
    ("slow", "strict", "outcome"), [(0, True, "undecided"), (0, False, "pass"), (2, False, "undecided")]
)
def test_a_hundred_requests_do_not_decide_a_p99(slow, strict, outcome):
    probe = judged((5, 100 - slow), (300, slow), strict=strict)
    assert probe.outcome == outcome
    if outcome == "undecided":
        assert "about" in probe.why
        assert "more would" in probe.why


def test_no_error_in_too_few_requests_is_said_to_need_so_many_more():
    probe = judged((5, 2_000), strict=True)
    assert probe.outcome == "undecided"
    assert "2,000 do not decide errors < 0.1 %, about 1,000 more would" in probe.why
    assert probe.more_s == pytest.approx(0.5)
    assert judged((5, 3_000), strict=True).outcome == "pass"
    assert judged((5, 990), (300, 10), strict=True).more_s is None, "on the limit no time decides it"


@pytest.mark.parametrize("reason", ["status_4xx", "status_5xx", "reset", "timeout"])
def test_errors_of_every_kind_fail_it_and_are_named(reason):
    probe = judged((5, 1000), failures=20, reason=reason)
    assert probe.outcome == "fail"
    assert "2 % errors (20 of 1,000), most of them " + reason in probe.why


def test_a_plan_that_was_not_answered_is_a_queue_that_grows():
    probe = judged((5, 900), planned=1000, unsent=100, rate=1000, health=health(achieved_share=0.9, waited=True))
    assert probe.outcome == "fail"
    assert "a queue grows" in probe.why


def test_goodput_counts_what_was_answered_well_and_in_time():
    assert judged((5, 900), (300, 100)).goodput_per_s == 900
    assert judged((5, 900), (5, 100), failures=100).goodput_per_s == 900
    # Those that timed out are too slow and failures at once, and are taken off once.
    assert judged((5, 900), (5000, 100), failures=100, reason="timeout").goodput_per_s == 900


def test_the_goodput_of_streams_is_the_share_of_timely_deliveries():
    heard_late = heard((10, 8000), (300, 1000), lost=1000)
    assert judged((1, 100), deliveries=heard_late).goodput_per_s == 80


def test_streams_are_judged_by_their_deliveries_and_losses():
    assert judged((1, 1000), deliveries=heard((10, 9_999), lost=1)).outcome == "pass"
    few_lost = judged((1, 1000), deliveries=heard((10, 9_999), lost=1), slo="lost=0")
    assert few_lost.outcome == "fail"
    assert "lost (1 of 10,000)" in few_lost.why
    unnamed = judged((1, 1000), deliveries=heard((10, 9_000), lost=100))
    assert unnamed.outcome == "fail", "what may fail may be lost, and no more"
    assert judged((1, 1000), deliveries=heard((10, 9_000), duplicated=1), slo="dup=0").outcome == "fail"
    assert judged((1, 1000), deliveries=heard((10, 9_000), reordered=1), slo="reordered=0").outcome == "fail"


def test_times_of_streams_have_limits_of_their_own():
    slow_start = heard((10, 1000), first_event=times((700, 1000)), between=times((20, 9000)), spread=times((30, 400)))
    probe = judged((1, 1000), deliveries=slow_start, slo="first_event_p99<500ms,between_p99<50ms,spread_p99<100ms")
    assert [one.ok for one in probe.thresholds] == [False, True, True, True, True]
    assert probe.why == "first_event_p99 700 ms"


def test_a_limit_on_what_was_never_measured_is_not_passed():
    probe = judged((1, 1000), slo="p99<1s,spread_p99<1s")
    assert (probe.outcome, probe.why) == ("undecided", "nothing was measured for spread_p99 < 1000 ms")


def test_streams_that_were_turned_away_fail_every_rate_whoever_is_busy():
    probe = judged((5, 4000), streams_open=2000, streams_never_served=1000, health=health(cpu_share=0.95))
    assert (probe.outcome, probe.why, probe.clear) == ("fail", "1,000 of 3,000 streams were turned away", True)
    ours = judged((5, 4000), streams_open=2000, streams_never_served=1000, health=health(errors_of_ours=1))
    assert ours.outcome == "generator", "this machine took no more"


def test_nothing_answered_is_a_failure_of_its_own():
    assert judged(planned=10).why == "nothing was answered"


def test_a_probe_is_json_and_carries_its_histogram_only_on_request():
    measured = offered((5, 1000), (7, 500))
    assert judge(measured, Slo()).latency_histogram is None
    saved = json.loads(json.dumps(asdict(judge(measured, Slo(), histogram=True))))
    assert Histogram.from_dict(saved["latency_histogram"]).count == 1500


SLOW = ((300, 10_000),)
WAITED = {"achieved_share": 0.9, "waited": True}


@pytest.mark.parametrize(
    ("signs", "given", "outcome", "named"),
    [
        ({}, {}, "fail", "p99"),
        ({"send_lag_p99_ms": 25.0}, {}, "generator", "25 ms late"),
        ({"send_lag_p99_ms": 25.0}, {"slo": "p99<290ms"}, "fail", "p99"),
        ({"cpu_share": 0.9}, {}, "generator", "90% of its core"),
        ({"cpu_share": 0.9, "canary_p99_ms": 280.0}, {}, "fail", "p99"),
        ({"cpu_share": 0.7}, {}, "fail", "p99"),
        ({"cpu_share": 0.7, "canary_p99_ms": 4.0}, {}, "generator", "canary"),
        ({"cpu_share": 0.3, "canary_p99_ms": 4.0}, {}, "fail", "p99"),
        ({"send_lag_p99_ms": 25.0, "canary_p99_ms": 280.0}, {}, "generator", "25 ms late"),
        ({"loop_lag_max_ms": 300.0}, {}, "generator", "stood still"),
        ({"cpu_share": 0.7, "backlog_share": 0.5}, {}, "generator", "reads"),
        ({"cpu_share": 0.3, "backlog_share": 0.5}, {}, "fail", "p99"),
        ({"cpu_share": 0.7, "canary_p99_ms": 4.0, "canary_requests": 15}, {}, "generator", "canary"),
        ({"errors_of_ours": 3}, {}, "generator", "refused 3 sockets"),
        ({"achieved_share": 0.98}, {}, "generator", "98.0%"),
        (WAITED, {}, "fail", "p99"),
        ({"cpu_share": 0.95, "send_lag_p99_ms": 90.0}, {"failures": 500, "reason": "status_4xx"}, "fail", "status_4xx"),
        ({"cpu_share": 0.95}, {"failures": 500, "reason": "timeout"}, "generator", "95%"),
    ],
)
def test_whose_fault_a_failure_is_follows_from_the_signs(signs, given, outcome, named):
    probe = judged(*SLOW, health=health(**signs), **given)
    assert probe.outcome == outcome
    assert named in probe.why
    assert (probe.health == HEALTHY) is (outcome == "fail")


def test_a_canary_of_few_requests_says_nothing_about_rare_slow_ones():
    few_slow = ((5, 9_800), (300, 200))
    signs = {"cpu_share": 0.7, "canary_p99_ms": 5.0}
    assert judged(*few_slow, health=health(**signs, canary_requests=15)).outcome == "fail"
    assert judged(*few_slow, health=health(**signs, canary_requests=300)).outcome == "generator"


@pytest.mark.parametrize("signs", [{"cpu_share": 1.0}, {"loop_lag_max_ms": 500.0}, {"send_lag_p99_ms": 60.0}])
def test_what_was_held_in_spite_of_a_busy_generator_was_held(signs):
    assert judged((50, 1000), health=health(**signs)).outcome == "pass"


@pytest.mark.parametrize("signs", [{"errors_of_ours": 1}, {"achieved_share": 0.9}])
def test_a_load_that_was_not_the_one_asked_for_proves_nothing(signs):
    assert judged((50, 1000), health=health(**signs)).outcome == "generator"


def test_readers_that_differ_make_the_figures_void():
    probe = judged((1, 1000), deliveries=heard((10, 9_000), checked=90, differed=2))
    assert probe.outcome == "generator"
    assert "differ on 2 of 90" in probe.why


@pytest.mark.parametrize(
    ("signs", "given", "clear"),
    [
        ({"cpu_share": 0.5}, {}, True),
        ({"cpu_share": 0.7}, {}, False),
        ({"cpu_share": 0.7, "canary_p99_ms": 250.0}, {}, True),
        ({"cpu_share": 0.9}, {"failures": 500}, True),
    ],
)
def test_a_failure_is_clear_when_an_idle_generator_a_canary_or_the_instance_says_so(signs, given, clear):
    assert judged(*SLOW, health=health(**signs), **given).clear is clear


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 0.9), st.integers(0, 1000))
def test_littles_law_holds_in_every_window_of_a_queue_that_does_not_grow(load, seed):
    measured = queue(500 * load, 20.0, service_s=0.002, seed=seed)
    error = little_error(measured)
    assert error is None or error < 0.05


@pytest.mark.parametrize("stage", ["hold", "double", "bisect", "confirm"])
def test_a_window_that_breaks_littles_law_is_flagged_and_never_accepted(stage):
    measured = queue(400, 10.0, service_s=0.002, stage=stage)
    assert judge(measured, Slo()).outcome == "pass"
    measured.in_flight_mean *= 1.2
    probe = judge(measured, Slo())
    assert probe.stationary is False
    assert probe.little_error == pytest.approx(0.2, abs=0.03)
    assert (probe.outcome, "not stationary" in probe.why) == ("undecided", True)
    found = conclude([probe], of_plans([probe]), Slo(), unit="requests")
    assert found.exit_code == ExitCode.WAIT
    assert found.highest_pass_per_s is None


def test_littles_law_is_not_held_against_windows_that_cannot_tell():
    measured = queue(400, 10.0, service_s=0.002)
    for change in ({"in_flight_mean": None}, {"duration_s": 0.01}):
        changed = queue(400, 10.0, service_s=0.002)
        for name, value in change.items():
            setattr(changed, name, value)
        assert little_error(changed) is None
    assert little_error(measured) is not None
    measured.counts.fail("timeout")
    measured.counts.requests += 100
    assert little_error(measured) is None
    assert judge(measured, Slo()).stationary is None, "not measured, and said to be so"


@pytest.mark.parametrize("limit_ms", [50, 200, 5000])
def test_a_worker_of_2_ms_is_found_to_hold_just_less_than_500_a_second(limit_ms):
    slo = parse_slo(f"p99<{limit_ms}ms")
    search = Search(start_per_s=100, max_per_s=100_000, precision=1.03, confirm=True)
    seed = 0
    while (attempt := search.next()) is not None:
        seed += 1
        probe = judge(
            queue(attempt.rate_per_s, attempt.duration_s, service_s=0.002, stage=attempt.stage, seed=seed), slo
        )
        search.record(attempt.rate_per_s, probe.outcome, answered_per_s=probe.achieved_per_s)
        assert seed < 100
    assert search.verdict == "found"
    assert 440 < search.highest_pass_per_s < 520
    assert search.lowest_fail_per_s <= search.highest_pass_per_s * 1.031
