"""What a verdict names, and what it asks for, of pairs made to measure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.compare import Side
from darktime.split.verdict import VerdictSettings, judge
from darktime.split.verdict.looks import alpha
from tests.darktime.split.verdict.made import pairs


def hop(**changes):
    values = {"hop": "relay>compared", "explained": {}, "missing": (), "extra": (), "undecoded": 0}
    return SimpleNamespace(**{**values, **changes})


def field(**changes):
    values = {"endpoint": "/p", "path": "items[].price", "kind": "value", "raw": 80, "noise": 0, "total": 8000}
    return SimpleNamespace(**{**values, "reported": True, "example": "9.99 instead of 10.00", **changes})


# --- errors


def test_errors_are_named_by_endpoint_status_pair_number_and_three_ids():
    verdict = judge(pairs(errors=0.02), [hop()])
    (reason,) = verdict.reasons
    assert verdict.outcome == "NO-GO"
    found = re.search(r"/p: 200 -> 500, (\d+) times \((id-\d+, id-\d+, id-\d+), …\)$", reason)
    assert found
    assert verdict.figures["errors"]["worse"] == int(found[1])
    assert verdict.figures["errors"]["p"] < 1e-6


def test_answers_that_never_came_are_named_by_their_reason():
    verdict = judge(pairs(), [hop(explained={"dark_timeout": 900, "dark_reset": 1})])
    assert verdict.outcome == "NO-GO"
    assert "no answer (dark_timeout), 900 times; no answer (dark_reset), once" in verdict.reasons[0]


def test_as_many_errors_in_production_are_no_harm():
    some = pairs()
    for at in range(0, 8000, 50):
        some[at] = replace(some[at], dark=replace(some[at].dark, status=500))
        some[at + 1] = replace(some[at + 1], production=replace(some[at + 1].production, status=500))
    verdict = judge(some, [])
    assert verdict.outcome == "WAIT"  # 2 % each: an excess of 0.1 % is not told from so few
    assert (verdict.figures["errors"]["worse"], verdict.figures["errors"]["better"]) == (160, 160)
    assert verdict.figures["errors"]["p"] == 1


def test_the_failures_of_one_user_are_no_evidence_against_all():
    some = [replace(one, dark=replace(one.dark, status=500)) if one.user == "7" else one for one in pairs(8000, 80)]
    assert judge(some, []).outcome == "WAIT"
    many = [
        replace(one, dark=replace(one.dark, status=500)) if at % 80 == 7 else one
        for at, one in enumerate(pairs(8000, 799))
    ]
    assert judge(many, []).outcome == "NO-GO"


def test_a_small_endpoint_that_fails_is_a_no_go_though_all_together_are_within_the_margin():
    some = [*pairs(60_000, 6000), *pairs(1000, 500, endpoint="/cart", errors=0.05, first=60_000)]
    verdict = judge(some, [])
    assert verdict.figures["errors"]["difference"] < 0.001
    assert verdict.outcome == "NO-GO"
    assert verdict.reasons[0].startswith("/cart: ")
    assert "/cart: 200 -> 500" in verdict.reasons[0]


# --- fields


def test_a_field_that_differs_more_than_noise_is_a_no_go_that_names_it():
    verdict = judge(pairs(), [], fields=[field(), field(path="id", reported=False)])
    assert verdict.outcome == "NO-GO"
    (reason,) = verdict.reasons
    assert reason == (
        "/p: items[].price differs (value) in 80 of 8,000 answers, in 0 where both ran the same code; "
        "as in 9.99 instead of 10.00"
    )
    assert judge(pairs(), [], fields=[field(reported=False)]).outcome == "GO"


# --- latency


def test_what_the_measuring_itself_adds_is_taken_off_with_its_own_uncertainty():
    late = pairs(later_s=0.012)
    assert judge(late, []).outcome == "NO-GO"
    verdict = judge(late, [], calibration=pairs(later_s=0.012, seed=2))
    assert verdict.outcome == "GO"
    few = judge(late, [], calibration=pairs(600, 60, later_s=0.012, seed=3))
    seen, less = (one.figures["endpoints"][0]["latency"] for one in (verdict, few))
    assert seen["offset_ms"] == pytest.approx(12, abs=1)
    assert less["excess_high_ms"] - less["excess_low_ms"] > seen["excess_high_ms"] - seen["excess_low_ms"]


def test_a_calibration_does_not_hide_slowness_and_that_of_another_endpoint_is_none():
    slow = judge(pairs(later_s=0.04), [], calibration=pairs(later_s=0.012, seed=2))
    assert slow.outcome == "NO-GO"
    assert re.search(r"; the same code measured \+1[123]\.\d ms, which is taken off\): slower than", slow.reasons[0])
    verdict = judge(pairs(later_s=0.012), [], calibration=pairs(later_s=0.012, seed=2, endpoint="/q"))
    assert verdict.outcome == "NO-GO"
    assert verdict.reasons[0].endswith("not calibrated, too few pairs of the same code")
    assert verdict.figures["endpoints"][0]["latency"]["offset_ms"] is None


def broken(count, status=502, **how):
    """Pairs of the same code, of which the second instance answered the first ``count`` with that status."""
    made = pairs(600, 200, seed=4, **how)
    return [replace(one, dark=replace(one.dark, status=status)) for one in made[:count]] + made[count:]


@pytest.mark.parametrize("status", [502, 404], ids=["failed", "differs"])
def test_a_second_instance_that_is_broken_forgives_new_code_nothing(status):
    slow = pairs(later_s=0.4)
    verdict = judge(slow, [], calibration=broken(600, status, later_s=0.45))
    assert verdict.outcome == "NO-GO"
    assert verdict.reasons[0].endswith("not calibrated, 600 of 600 pairs of the same code failed or differ (100.0%)")


def test_with_a_second_instance_that_is_broken_no_code_is_go_and_it_says_what_to_do():
    verdict = judge(pairs(), [], calibration=broken(30))
    assert verdict.outcome == "WAIT"
    assert verdict.reasons == (
        "/p: 30 of 600 pairs of the same code failed or differ (5.0%), 0.10% may: what the measuring adds to its p95 is not known",
    )
    assert "calibrates with a second instance which answers /p as production does" in verdict.needs
    unanswered = judge(pairs(), [], calibration=broken(0), left={"/p": {"calibration_failed": 200}})
    assert "200 of 800 pairs of the same code failed or differ" in unanswered.reasons[0]


def test_one_answer_that_fails_by_chance_is_left_out_of_the_calibration_and_go_says_what_was_taken_off():
    late = pairs(later_s=0.012)
    verdict = judge(late, [], calibration=pairs(later_s=0.012, seed=2)[1:] + broken(1, later_s=0.012)[:1])
    assert verdict.outcome == "GO"
    assert re.fullmatch(r"taken off dark's p95, as the same code was measured: /p \+1[123]\.\d ms", verdict.reasons[1])


def test_each_endpoint_is_judged_on_its_own_and_the_slow_one_named():
    verdict = judge([*pairs(), *pairs(4000, 400, endpoint="/slow", slower=1.6, first=8000)], [])
    assert verdict.outcome == "NO-GO"
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["/slow"]


# --- looks


@given(st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_all_looks_together_spend_no_more_than_one_would(looks, confidence):
    spent = sum(alpha(confidence, look) for look in range(1, looks + 1))
    assert spent < 1 - confidence
    assert spent == pytest.approx((1 - confidence) * (1 - 1 / (looks + 1)))


def test_a_later_look_asks_for_more():
    some = pairs(7000, 700)
    assert judge(some, []).outcome == "GO"
    late = judge(some, [], look=5)
    assert late.outcome == "WAIT"
    assert (late.figures["look"], late.figures["alpha"]) == (5, pytest.approx(0.05 / 30))


def test_a_look_before_the_first_is_refused():
    with pytest.raises(UsageError, match="look 0"):
        judge([], [], look=0)


# --- how much was seen


def test_an_endpoint_of_which_too_few_copies_were_compared_is_a_wait_that_names_it_and_why():
    verdict = judge(pairs(), [], left={"/p": {"relay_full": 1500, "credential_stripped": 500, "client_abort": 9000}})
    assert verdict.outcome == "WAIT"
    assert verdict.reasons == (
        "too few of the copies were compared, 90% must be: /p 80.0% (1,500 relay_full, 500 credential_stripped)",
    )
    assert verdict.needs == "to compare 90% of the copies of every endpoint"
    assert (
        judge(pairs(), [], left={"/p": {"relay_full": 800, "client_abort": 9000, "dark_timeout": 70}}).outcome == "GO"
    )


def test_what_a_function_of_the_users_drops_is_not_asked_for_and_what_it_fails_at_is():
    assert judge(pairs(), [], left={"/p": {"transformed_away": 9000}, "/q": {"transformed_away": 50}}).outcome == "GO"
    verdict = judge(pairs(), [], left={"/p": {"transform_failed": 4000}})
    assert verdict.outcome == "WAIT"
    assert "(4,000 transform_failed)" in verdict.reasons[0]


def test_an_endpoint_that_only_left_is_no_go_neither_but_is_asked_for():
    verdict = judge(pairs(), [], left={"/login": {"credential_stripped": 4000}})
    assert verdict.outcome == "WAIT"
    assert verdict.figures["differences"]["worse"] == 0
    assert "/login 0.0% (4,000 credential_stripped)" in verdict.reasons[0]
    assert "/login (0 of 20 pairs, 0 of 10 users)" in str(verdict.needs)


def test_where_nobody_says_of_which_endpoint_the_copies_were_all_together_count():
    verdict = judge(pairs(), [hop(explained={"relay_full": 4000})])
    assert verdict.outcome == "WAIT"
    assert "all endpoints together 66.7% (4,000 relay_full)" in verdict.reasons[0]


def test_copies_that_never_came_to_the_relay_are_copies_that_were_not_compared():
    """A relay that takes one copy in ten has compared all that it took."""
    shed = hop(explained={"shed_sink": 54_000, "client_abort": 9_000})
    shed.hop = "mirror>relay"
    verdict = judge(pairs(), [hop(), shed])
    assert verdict.outcome == "WAIT"
    assert verdict.reasons[0].endswith("all endpoints together 12.9% (54,000 shed_sink)")
    assert "fewer users, or more --relay-workers" in verdict.needs
    shed.explained = {"shed_sink": 500, "client_abort": 90_000}
    assert judge(pairs(), [hop(), shed]).outcome == "GO"


def test_a_small_endpoint_is_not_asked_for_but_is_said_not_to_be_judged():
    verdict = judge([*pairs(), *pairs(9, 9, endpoint="/rare", first=8000)], [])
    assert verdict.outcome == "GO"
    assert verdict.reasons[1] == "too little was seen of 1 small endpoint to judge it: /rare"
    rare = verdict.figures["endpoints"][1]
    assert (rare["endpoint"], rare["required"], rare["latency"]) == ("/rare", False, None)


def test_an_endpoint_of_many_requests_and_few_users_is_asked_for():
    verdict = judge([*pairs(), *pairs(500, 3, endpoint="/poll", first=8000)], [])
    assert verdict.outcome == "WAIT"
    assert "/poll (500 of 20 pairs, 3 of 10 users)" in str(verdict.needs)


# --- what a wait needs


def needed(verdict, what):
    """Pairs and users that are needed to tell something."""
    found = re.search(rf"about ([\d,]+) more pairs \(([\d,]+) more users\) to tell {what}", str(verdict.needs))
    assert found, verdict.needs
    return [int(number.replace(",", "")) for number in found.groups()]


def test_so_many_more_pairs_as_are_asked_for_are_enough_to_bound_errors():
    more, users = needed(judge(pairs(300, 30), []), "the share of errors")
    assert judge(pairs(300 + more, 30 + users), [], look=2).outcome == "GO"
    assert judge(pairs(300 + more // 2, 30 + users // 2), [], look=2).outcome == "WAIT"


def test_so_many_more_pairs_as_are_asked_for_are_about_enough_to_tell_a_p95():
    settings = VerdictSettings(error_margin=0.5, difference_margin=0.5)
    few = judge(pairs(250, 50, slower=1.1), [], settings)
    more, users = needed(few, "the p95 of /p")
    assert judge(pairs(250 + 2 * more, 50 + 2 * users, slower=1.1), [], settings, look=2).outcome == "GO"


def test_where_the_effect_sits_at_its_margin_no_number_of_pairs_is_promised():
    settings = VerdictSettings(latency_ratio=1.0, latency_slack_s=0.0)
    same = [replace(one, dark=one.production) for one in pairs()]
    assert "no number of pairs would tell the p95 of /p: it sits at its margin" in str(judge(same, [], settings).needs)


@pytest.mark.parametrize(
    ("name", "value"),
    [("confidence", 1.0), ("error_margin", 0.0), ("latency_ratio", 0.9), ("coverage", 1.1), ("likeness", float("nan"))],
)
def test_a_margin_that_is_out_of_its_range_is_refused_with_the_range(name, value):
    with pytest.raises(UsageError, match=f"{name} {value}: give one between"):
        VerdictSettings(**{name: value})


# --- whatever comes

PAIRS = st.builds(
    lambda user, endpoint, statuses, seconds: replace(
        pairs(1, 1)[0],
        user=str(user),
        endpoint=f"/{endpoint}",
        production=Side(status=statuses[0], content_type="a", length=0, seconds=seconds[0]),
        dark=Side(status=statuses[1], content_type="a", length=0, seconds=seconds[1]),
    ),
    st.integers(0, 6),
    st.integers(0, 2),
    st.tuples(*[st.sampled_from([0, 200, 304, 404, 500])] * 2),
    st.tuples(*[st.sampled_from([0.0, 0.001, 0.002, 0.0005, 1.5, 86_400.0])] * 2),
)


@pytest.mark.timeout(120)  # it computes; on a slow machine that is a matter of minutes
@settings(deadline=None)  # on a busy machine one of them may take long
@given(st.lists(PAIRS, max_size=60), st.integers(1, 50), st.lists(PAIRS, max_size=30))
def test_whatever_the_pairs_are_there_is_a_verdict_and_json_can_hold_it(some, look, calibration):
    settings = VerdictSettings(min_pairs_an_endpoint=2, min_users_an_endpoint=1)
    verdict = judge(some, [hop(explained={"dark_reset": 1})], settings, calibration=calibration, look=look)
    assert verdict.outcome in {"NO-GO", "WAIT"}  # 200 pairs are asked for
    assert json.loads(json.dumps(verdict.figures, allow_nan=False)) == verdict.figures
    assert verdict == judge(some, [hop(explained={"dark_reset": 1})], settings, calibration=calibration, look=look)


def test_of_nothing_nothing_is_proved_whatever_little_is_asked_for() -> None:
    verdict = judge([], [], VerdictSettings(min_pairs=0, min_users=0))
    assert (verdict.outcome, verdict.reasons) == ("WAIT", ("nothing was compared",))
