"""What results keep of a run over time, by endpoint and by hop is bounded, and no pair is left out of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare import Pair, Side
from darktime.split.endpoints_seen import MOST, endpoints_seen
from darktime.split.record.course import course, spectrum
from darktime.split.record.lines import Answer, Recorded
from darktime.split.relay.answers import Latencies
from darktime.split.timeline import least_step, step_for, timeline
from darktime.split.vigil import Vigil
from darktime.split.way import way_of

BEGAN = 1_764_000_000.0


def taking(at: float, production: float = 0.002, dark: float = 0.004) -> Pair:
    sides = [Side(status=200, content_type="", length=0, seconds=seconds) for seconds in (production, dark)]
    return Pair(id="", endpoint="/", user="u", at=BEGAN + at, production=sides[0], dark=sides[1])


@given(st.lists(st.floats(-5, 700_000), max_size=300))
def test_every_pair_is_in_one_interval_however_long_the_run_was(times: list[float]) -> None:
    made = timeline([taking(at) for at in times], began=BEGAN)
    assert len(made["rows"]) <= 120
    assert sum(row["pairs"] for row in made["rows"]) == len(times)
    places = [row["t"] for row in made["rows"]]
    assert places == sorted(set(places))


def test_an_interval_has_the_percentiles_of_its_own_pairs_alone() -> None:
    rng = random.Random(5)
    slow = [taking(at / 100, dark=rng.uniform(0.1, 0.2) if at >= 5_000 else 0.004) for at in range(10_000)]
    made = timeline(slow, began=BEGAN)
    assert (made["step_s"], len(made["rows"])) == (1, 100)
    for row in made["rows"]:
        own = sorted(one.dark.seconds for one in slow if row["t"] <= one.at - BEGAN < row["t"] + 1)
        assert row["dark_p99_ms"] == pytest.approx(own[len(own) * 99 // 100] * 1000, abs=0.001)
        assert row["production_p50_ms"] == 2.0


@given(st.floats(0, 10_000_000), st.integers(0, 1_000_000))
def test_steps_reach_over_the_span_in_so_many_and_hold_ten_each(span: float, count: int) -> None:
    step = step_for(span, least_s=least_step(span, count))
    assert span / step < 120
    assert not count or step >= span / 10 - 1e-9 or step * count / span >= 10 - 1e-6


def asked(number: int) -> Recorded:
    return Recorded(at=number, id=f"{number:032x}", user="0" * 16, method="GET", target="/", headers=())


class Ended:
    def __init__(self, status: int, latency_s: float, behind_s: float) -> None:
        self.status, self.latency_s, self.service_s = status, latency_s, latency_s - behind_s
        self.content_type, self.reason = "text/plain", "" if status else "timeout"


def test_a_replays_course_has_every_request_where_it_was_due_and_where_it_was_sent() -> None:
    count = 4_000
    requests = [asked(number) for number in range(count)]
    due = [number / 100 for number in range(count)]
    sent: list[float | None] = [at + (1.5 if 1_000 <= number < 1_100 else 0.0) for number, at in enumerate(due)]
    outcomes: list[Any] = [
        Ended(200, 0.010 + (1.5 if 1_000 <= n < 1_100 else 0), at - due[n]) for n, at in enumerate(sent)
    ]
    sent[7], outcomes[7] = None, None
    outcomes[8] = Ended(0, 5.0, 0.0)
    answers = {
        one.id: Answer(status=200, content_type="text/plain", length=1, seconds=0.003) for one in requests[:2_000]
    }
    made = course(requests, answers, outcomes, planned_s=due, sent_s=sent)
    rows = {row["t"]: row for row in made["rows"]}
    assert made["step_s"] == 0.5
    assert sum(row["due"] for row in rows.values()) == count
    assert sum(row["sent"] for row in rows.values()) == count - 1
    assert (rows[0]["unanswered"], rows[10]["due"], rows[10]["sent"], rows[11.5]["sent"]) == (2, 50, 0, 100)
    assert rows[10]["behind_p50_ms"] == rows[10]["replayed_p99_ms"] - 10 == 1500
    assert (rows[0]["recorded_p99_ms"], rows[30]["recorded_p99_ms"]) == (3.0, None)


@given(st.lists(st.floats(0, 100), max_size=400))
def test_a_spectrum_tells_no_percentile_that_so_few_times_cannot(times: list[float]) -> None:
    told = dict(map(tuple, spectrum(times)))  # type: ignore[arg-type]
    assert bool(told) == bool(times)
    if times:
        assert told[100] == pytest.approx(max(times) * 1000, abs=0.001)
        assert (99 in told) == (len(times) >= 100)
    assert list(told.values()) == sorted(told.values())


def test_the_relays_own_spectrum_rises_and_is_as_long_as_its_times_allow() -> None:
    kept = Latencies()
    assert kept.spectrum() == []
    for at in range(1, 1_001):
        kept.add(at / 1000)
    told = kept.spectrum()
    assert [percent for percent, _ in told][-1] == 99.9
    assert [value for _, value in told] == sorted(value for _, value in told)
    assert dict(map(tuple, told))[50] == pytest.approx(500, rel=0.051)  # type: ignore[arg-type]


def pair(endpoint: str, user: str) -> Pair:
    side = Side(status=200, content_type="", length=0, seconds=0.0)
    return Pair(id="", endpoint=endpoint, user=user, at=0.0, production=side, dark=side)


def test_coverage_by_endpoint_is_bounded_and_says_how_many_had_no_room() -> None:
    pairs = [pair("/busy", f"u{at}") for at in range(500)] + [pair(f"/e{at}", "u") for at in range(400)]
    made = endpoints_seen(
        pairs, {"/busy": {"dark_timeout": 5, "relay_full": 500}, "/never": {"log_lost": 3, "too_big": 0}}
    )
    busy = made["endpoints"][0]
    assert (busy["endpoint"], busy["pairs"], busy["users"], busy["coverage"]) == ("/busy", 500, 500, 0.5)
    assert busy["left"] == {"dark_timeout": 5, "relay_full": 500}
    assert (len(made["endpoints"]), made["left_out"]) == (MOST, 402 - MOST)
    never = next(one for one in made["endpoints"] if one["endpoint"] == "/never")
    assert (never["coverage"], never["left"]) == (0.0, {"log_lost": 3})


def test_coverage_of_all_together_counts_what_never_came() -> None:
    pairs = [pair("/p", f"u{at}") for at in range(100)]
    never_came = {"shed_sink": 890, "client_abort": 50, "log_lost": 0}
    made = endpoints_seen(pairs, {"/p": {"relay_full": 10}}, never_came=never_came)
    assert made["together"] == {"coverage": 0.1, "never_came": {"shed_sink": 890, "client_abort": 50}}
    assert endpoints_seen([], {})["together"] == {"coverage": 0.0, "never_came": {}}


def test_the_way_keeps_reasons_that_were_given_and_each_instances_account() -> None:
    instance = {"dark": "http://a:1", "submitted": 3, "answered": 2, "failures": {"dark_reset": 1, "expired": 0}}
    instance |= {"streams_cut": 0, "breaker_trips": 1, "breaker": None, "last_error": "x" * 900, "queued": 0}
    made = way_of(
        {"offered": 4, "received": 3, "mirror_reasons": {"shed_sink": 1}, "instances": [instance], "waiting": 2}
    )
    assert (made["offered"], made["never_came"], made["open"]) == (4, {"shed_sink": 1}, 2)
    assert made["instances"][0]["failures"] == {"dark_reset": 1}
    assert len(made["instances"][0]["last_error"]) == 200
    assert way_of({})["received"] == 0


class Dead:
    def alive(self) -> bool:
        return False

    def tail(self, _lines: int = 5) -> str:
        return "the end"


def test_an_incident_has_the_moment_at_which_it_was_seen_and_one_of_the_end_has_none() -> None:
    vigil = Vigil({"agent": Dead()})
    vigil.look()
    vigil.incidents.append("found at the end")
    first, second = vigil.record()
    assert first["what"].startswith("agent died")
    assert first["at"] > BEGAN
    assert second == {"at": None, "what": "found at the end"}
