"""The answer of a run: interval, limit, sentence, exit code; and the ceilings of connections."""

import errno
from dataclasses import replace

import pytest

from darktime.blast.conclude import Conclusion, Interval, conclude, with_findings
from darktime.blast.connections import RESET_REASONS, TIMEOUT_REASONS, connection_ceiling, turns_away
from darktime.blast.interval import of_plans
from darktime.blast.result import judge
from darktime.blast.scenario import Finding
from darktime.blast.search import Search
from darktime.blast.session import FINE
from darktime.blast.slo import Slo
from darktime.blast.sockets import reason_of
from darktime.errors import ExitCode
from tests.darktime.blast.simulated import health, offered, times


def held(rate, **signs):
    return judge(offered((5, 4000), rate=rate, health=health(**signs)), Slo())


def failed(rate, **signs):
    return judge(offered((812, 4000), rate=rate, health=health(**signs)), Slo())


def refusing(rate, **signs):
    return judge(offered((5, 4000), failures=100, reason="status_4xx", rate=rate, health=health(**signs)), Slo())


def undecided(rate):
    return judge(offered((5, 98), (300, 2), rate=rate), Slo())


def found(low, high, **given):
    given.setdefault("limited_by", "instance" if high else "")
    return Interval(highest_pass_per_s=low, lowest_fail_per_s=high, maximum_per_s=200_000, searched=True, **given)


def answer(probes, interval, **given):
    return conclude(probes, interval, Slo(), unit="requests", **given)


def test_the_sentence_names_the_interval_the_failure_the_evidence_and_the_limit():
    probes = [held(1940), failed(1990, cpu_share=0.41, canary_p99_ms=3.0)]
    concluded = answer(probes, found(1940, 1990, confirmed=True))
    assert concluded.sentence == (
        "The instance held 1,940 requests/s (p99 < 200 ms, errors < 0.1 %, confirmed) and failed at 1,990: "
        "p99 812 ms; generator 41% busy, canary fine: the limit is the instance."
    )
    assert (concluded.highest_pass_per_s, concluded.lowest_fail_per_s, concluded.limit) == (1940, 1990, "instance")
    assert concluded.exit_code == ExitCode.OK


def test_a_canary_that_is_slow_too_and_late_sends_are_in_the_evidence():
    probes = [held(100), failed(110, canary_p99_ms=700.0, send_lag_p99_ms=7.0)]
    assert "sends 7 ms late (p99), canary slow too (700 ms)" in answer(probes, found(100, 110)).sentence


def test_generator_bound_gives_no_capacity_and_exit_4():
    bound = failed(4000, cpu_share=0.97)
    concluded = answer([held(2000), bound], found(2000, 4000, limited_by="generator"))
    assert (concluded.highest_pass_per_s, concluded.lowest_fail_per_s) == (None, None)
    assert (concluded.limit, concluded.exit_code) == ("generator", ExitCode.INVALID)
    assert "97% of its core" in concluded.sentence
    assert "--processes" in concluded.sentence


@pytest.mark.parametrize(
    ("probes", "interval", "ceiling"),
    [
        ([held(2345), failed(4321, cpu_share=0.97)], found(2345, 4321, limited_by="generator"), None),
        ([held(2345), failed(4321, cpu_share=0.97)], found(2345, None), None),
        ([held(2345), failed(4321, cpu_share=0.7)], found(2345, 4321), 3000),
    ],
)
def test_a_refusal_names_no_rate_that_could_be_taken_for_a_capacity(probes, interval, ceiling):
    concluded = answer(probes, interval, ceiling_per_s=ceiling)
    assert concluded.exit_code == ExitCode.INVALID
    assert concluded.sentence.startswith("No capacity is given: ")
    for rate in ("2,345", "4,321", "2345", "4321", "3,000", "/s"):
        assert rate not in concluded.sentence


def test_a_search_that_met_the_generators_limit_and_then_the_instances_below_it_has_a_capacity():
    probes = [held(1000), failed(4000, cpu_share=0.97), failed(1100)]
    assert answer(probes, found(1000, 1100)).limit == "instance"


def test_where_nobody_says_whose_the_upper_end_is_the_last_probe_does():
    concluded = answer([held(2000), failed(4000, cpu_share=0.97)], found(2000, None))
    assert concluded.exit_code == ExitCode.INVALID


@pytest.mark.parametrize(
    ("probe", "ceiling", "code"),
    [
        (failed(1990, cpu_share=0.7), None, ExitCode.OK),
        (failed(1990, cpu_share=0.7), 4000, ExitCode.OK),
        (failed(1990, cpu_share=0.7), 2500, ExitCode.INVALID),
        (failed(1990, cpu_share=0.41), 2500, ExitCode.OK),
        (failed(1990, cpu_share=0.7, canary_p99_ms=900.0), 2500, ExitCode.OK),
        (refusing(1990, cpu_share=0.95), 2500, ExitCode.OK),
    ],
)
def test_near_the_generators_own_ceiling_only_clear_evidence_makes_a_capacity(probe, ceiling, code):
    concluded = answer([held(1940), probe], found(1940, 1990), ceiling_per_s=ceiling)
    assert concluded.exit_code == code
    assert (concluded.highest_pass_per_s is None) is (code == ExitCode.INVALID)
    if code == ExitCode.INVALID:
        assert "the instance may hold more than it can show" in concluded.sentence


def test_a_rate_that_was_asked_for_is_held_or_not_or_nobody_knows():
    def at(probe):
        low, high = (500, None) if probe.passed else (None, 500)
        return answer([probe], Interval(highest_pass_per_s=low, lowest_fail_per_s=high))

    assert (at(held(500)).exit_code, at(held(500)).limit) == (ExitCode.OK, "not reached")
    assert (at(failed(500)).exit_code, at(failed(500)).limit) == (ExitCode.FAILED, "instance")
    assert "did not hold 500 requests/s" in at(failed(500)).sentence
    assert at(failed(500, cpu_share=0.9)).exit_code == ExitCode.INVALID
    unknown = at(undecided(500))
    assert (unknown.exit_code, unknown.limit, unknown.lowest_fail_per_s) == (ExitCode.WAIT, "unknown", None)
    assert "more would" in unknown.sentence


@pytest.mark.parametrize(("word", "code"), [(None, 5), ("pass", 0), ("fail", 3)])
def test_inconclusive_ends_as_ci_wants_it(word, code):
    noisy = found(100, 110, noise="3 rates from 50 to 400/s both passed and failed")
    concluded = answer([held(100), failed(110)], noisy, inconclusive=word)
    assert concluded.exit_code == code
    assert concluded.highest_pass_per_s is None
    assert "both passed and failed" in concluded.sentence
    with pytest.raises(ValueError, match="perhaps"):
        answer([], noisy, inconclusive="perhaps")


def test_a_failed_threshold_stays_failed_however_ci_takes_the_inconclusive():
    concluded = answer([failed(500)], Interval(highest_pass_per_s=None, lowest_fail_per_s=500), inconclusive="pass")
    assert concluded.exit_code == ExitCode.FAILED


def test_an_upper_end_that_is_only_undecided_is_not_called_a_failure():
    concluded = answer([held(100), undecided(110)], found(100, 110, limited_by="undecided"))
    assert "was not shown to hold 110" in concluded.sentence
    assert concluded.limit == "unknown"


def test_a_failure_above_an_upper_end_that_is_undecided_names_the_limit():
    concluded = answer([held(100), undecided(110), refusing(121)], found(100, 110, limited_by="undecided"))
    assert "was not shown to hold 110" in concluded.sentence
    assert "at 121 it failed" in concluded.sentence
    assert concluded.sentence.endswith("the limit is the instance.")
    assert concluded.limit == "instance"


def test_a_maximum_that_was_held_a_spent_budget_and_an_interruption_are_said():
    top = Interval(highest_pass_per_s=1000, lowest_fail_per_s=None, maximum_per_s=1000, searched=True)
    assert "Its limit was not reached" in answer([held(1000)], top).sentence
    assert "the time was spent before it failed" in answer([held(100)], found(100, None, budget_spent=True)).sentence
    spent = answer([held(100), failed(200)], found(100, 200, budget_spent=True))
    assert "a longer --duration helps" in spent.sentence
    assert answer([held(100)], found(100, None), interrupted=True).exit_code == ExitCode.INTERRUPTED
    assert "held 100" in answer([held(100)], found(100, None), interrupted=True).sentence
    assert answer([], found(None, None)).exit_code == ExitCode.WAIT


ORDINARY = ((1, 2000), (40, 20))


def ceiling(*connects, served=2000, wanted=3000, **turned_away):
    away = {name.removeprefix("_"): count for name, count in turned_away.items()}
    return connection_ceiling(away, times(*ORDINARY, *connects), served=served, wanted=wanted)


def test_an_instance_without_a_ceiling_has_none():
    assert ceiling() is None
    assert ceiling(_503=300, served=3000) is None, "all were served in the end"
    assert ceiling(connect_refused=3000, served=0) is None, "it has ended"
    assert ceiling(_503=4, closed=400, out_of_files=400) is None, "none of these is the instance turning somebody away"


def test_a_503_beyond_so_many_connections_is_named_with_their_number():
    met = ceiling(_503=300)
    assert (met.at, met.wanted, met.cause, met.turned_away) == (2000, 3000, "503", 300)
    assert "served 2,000 of 3,000 at once and answered others with 503" in met.sentence


def test_resets_are_told_from_503():
    assert ceiling(reset=60, _503=5).cause == "reset"
    assert ceiling(connect_refused=60).cause == "reset"


def test_every_sign_of_a_ceiling_is_a_word_that_sockets_say():
    said = {reason_of(number) for number in errno.errorcode}
    assert {*RESET_REASONS, *TIMEOUT_REASONS} <= said


def test_of_streams_a_ceiling_is_said_to_be_one_of_streams():
    met = connection_ceiling({"503": 300}, times(*ORDINARY), served=2000, wanted=3000, what="streams")
    assert met.what == "streams"
    assert "takes only so many streams" in met.sentence


@pytest.mark.parametrize(
    ("turned_away", "full"),
    [
        ({}, False),
        ({"503": 4}, False),
        ({"503": 5}, True),
        ({"reset": 3, "connect_refused": 2}, True),
        ({"connect_timeout": 9}, True),
        ({"timeout": 900, "closed": 900, "429": 900}, False),
        ({"503": 900, "ours_open_files": 1}, False),
    ],
)
def test_who_is_turned_away_by_the_instance_is_told_from_accidents_and_from_our_own_limits(turned_away, full):
    assert turns_away(turned_away) is full


def test_dropped_syns_show_as_connects_of_one_three_and_seven_seconds_or_never():
    met = ceiling((1020, 90), (3060, 30), (7200, 10))
    assert (met.cause, met.turned_away) == ("syn_drop", 130)
    assert ceiling(connect_timeout=70).cause == "syn_drop"


def test_a_slow_network_is_no_dropped_syn():
    assert ceiling(*((ms, 40) for ms in range(300, 4000, 50))) is None


def of_a_scenario(*probes):
    return answer(list(probes), of_plans(probes))


def test_a_plan_that_the_generator_could_not_offer_gives_no_capacity_however_well_the_next_one_went():
    concluded = of_a_scenario(failed(5000, cpu_share=0.97), held(100))
    assert (concluded.exit_code, concluded.limit) == (ExitCode.INVALID, "generator")
    assert concluded.sentence.startswith("No capacity is given")


def test_of_plans_in_a_row_the_one_that_failed_speaks_with_its_own_figures():
    concluded = of_a_scenario(undecided(50), failed(300), held(100))
    assert (concluded.exit_code, concluded.limit) == (ExitCode.FAILED, "instance")
    assert "did not hold 300 requests/s" in concluded.sentence
    assert "p99 812 ms" in concluded.sentence
    assert of_a_scenario(failed(5000, cpu_share=0.97), failed(300), held(100)).sentence == concluded.sentence


def test_a_plan_that_is_undecided_makes_the_scenario_so_and_of_plans_that_held_the_highest_is_told():
    assert of_a_scenario(undecided(50), held(100)).exit_code == ExitCode.WAIT
    concluded = of_a_scenario(held(5000), held(100))
    assert concluded.exit_code == ExitCode.OK
    assert concluded.sentence.startswith("The instance held 5,000 requests/s")


def test_a_search_without_the_time_for_one_rate_says_how_much_that_takes():
    search = Search(start_per_s=50, max_per_s=200_000, confirm=True, durations=FINE)
    assert search.next(19.9) is None
    concluded = answer([], search.interval)
    assert concluded.exit_code == ExitCode.WAIT
    assert "the first rate alone takes 20 s" in concluded.sentence
    assert "--duration" in concluded.sentence


LOST = Finding(name="lost", value=12, unit="deliveries", text="since the cut", ok=False, metric="lost")
HELD = Finding(name="served again", value=1.5, unit="s", text="", ok=True)
TOLD = Finding(name="replayed", value=0, unit="deliveries", text="")


@pytest.mark.parametrize(
    ("code", "then"),
    [
        (ExitCode.OK, ExitCode.FAILED),
        (ExitCode.WAIT, ExitCode.FAILED),
        (ExitCode.FAILED, ExitCode.FAILED),
        (ExitCode.INVALID, ExitCode.INVALID),
        (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED),
    ],
)
def test_a_promise_of_a_scenario_that_was_not_kept_fails_a_run_that_stands(code, then):
    ended = Conclusion(
        highest_pass_per_s=20.0, lowest_fail_per_s=None, limit="not reached", sentence="It held.", exit_code=code
    )
    concluded = with_findings(ended, [HELD, LOST, TOLD])
    assert concluded.exit_code == then
    if code in {ExitCode.OK, ExitCode.WAIT}:
        assert concluded.sentence == "It held. Not as it should be: lost (12 deliveries)."
    assert with_findings(ended, [HELD, TOLD]) == ended
    assert with_findings(ended, [replace(LOST, judged_by="lost < 90 %")]) == ended, "somebody's own limit counts"
