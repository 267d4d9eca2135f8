"""Clocks of two machines: what is said of them is true, whatever the messages' ways took; and claims below it are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.clocks import DRIFT, Clock, Offset, between
from darktime.blast.deliveries import Deliveries
from darktime.blast.health import Health
from darktime.blast.histogram import Histogram
from darktime.blast.machine import Machine, here
from darktime.blast.offered import Offered, Second
from darktime.blast.readings import read_all
from darktime.blast.slo import parse_slo

ways = st.floats(0, 0.5)
ticks = st.lists(st.tuples(ways, ways, st.floats(0.001, 10)), min_size=1, max_size=80)
HEALTH = Health(send_lag_p99_ms=0.0, loop_lag_max_ms=0.0, cpu_share=0.1, achieved_share=1.0)


@given(ticks, st.floats(-1e6, 1e6), st.floats(-DRIFT, DRIFT))
def test_the_true_offset_lies_within_what_is_said_whatever_the_ways_took(
    messages: list[tuple[float, float, float]], ahead_s: float, drift: float
) -> None:
    """The other clock is ``ahead_s`` ahead of ours, and runs faster or slower than it."""
    offset, now = Offset(), 0.0
    for way_there, way_back, later in messages:
        sent = now
        looked = sent + way_there
        back = looked + way_back
        offset.add(sent, looked * (1 + drift) + ahead_s, back)
        now = back + later
    best_s, error_s = offset.best(now)
    assert abs(best_s - -(ahead_s + now * drift)) <= error_s + 1e-6


@given(ticks)
def test_one_fast_message_is_worth_more_than_all_slow_ones(messages: list[tuple[float, float, float]]) -> None:
    offset = Offset()
    for way_there, way_back, _ in messages:
        offset.add(0.0, 100.0 + way_there, way_there + way_back)
    offset.add(0.0, 100.0, 0.0)
    best_s, error_s = offset.best(0.0)
    assert best_s == pytest.approx(-100.0)
    assert error_s == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_told_is_no_offset() -> None:
    with pytest.raises(ValueError, match="no message has come back"):
        Offset().best(0.0)
    with pytest.raises(ValueError, match="cannot have been back before"):
        Offset().add(2.0, 0.0, 1.0)


def test_two_workers_are_apart_by_both_their_errors_and_one_that_is_alone_by_its_own() -> None:
    assert between([0.0, 0.001, 0.004, 0.002]) == pytest.approx(0.006)
    assert between([0.003]) == pytest.approx(0.003)
    assert between([]) == 0


def test_a_clock_survives_its_journey_and_gives_the_heads_times() -> None:
    clock = Clock(offset_s=-1000.0, error_s=0.001, wall_s=1e9)
    assert Clock.from_dict(clock.to_dict()) == clock
    assert clock.monotonic(1500.0) == 500.0
    assert clock.wall(1500.0) == 1e9 + 500


def test_machines_share_a_clock_or_a_loopback_only_where_that_is_known() -> None:
    one = here()
    assert one.shares_clock(one)
    assert Machine.from_dict(one.to_dict()) == one
    assert not one.shares_clock(replace(one, time="other"))
    assert not one.shares_loopback(replace(one, network="other"))
    unknown = replace(one, boot="")
    assert not unknown.shares_clock(unknown)
    assert not unknown.shares_loopback(unknown)


def offered(p99_ms: float, *, from_others: int, clock_error_ms: float) -> Offered:
    latency = Histogram()
    latency.add_seconds([p99_ms / 1000] * 1000)
    deliveries = Deliveries(delivered=1000, from_others=from_others, latency=latency)
    return Offered(
        rate_per_s=100.0,
        duration_s=10.0,
        planned=1000,
        unsent=0,
        health=HEALTH,
        deliveries=deliveries,
        clock_error_ms=clock_error_ms,
    )


@pytest.mark.parametrize(
    ("p99_ms", "from_others", "error_ms", "ok"),
    [
        (40.0, 500, 5.0, True),
        (47.0, 500, 5.0, None),
        (53.0, 500, 5.0, None),
        (60.0, 500, 5.0, False),
        (47.0, 0, 5.0, True),  # nobody heard another machine: no clock but one's own
        (47.0, 500, 0.0, True),
    ],
)
def test_a_limit_within_what_the_clocks_are_sure_of_is_neither_met_nor_missed(
    p99_ms: float, from_others: int, error_ms: float, *, ok: bool | None
) -> None:
    seen = offered(p99_ms, from_others=from_others, clock_error_ms=error_ms)
    reading = read_all(seen, parse_slo("p99<50ms"))[0]
    assert reading.ok is ok
    assert ("clocks of the hosts agree to ± 5 ms" in reading.why) is (ok is None)


def test_parts_of_a_workers_second_add_up_and_two_workers_stand_side_by_side() -> None:
    second = Second(at_s=7, planned=3, streams=20, in_flight=2, cpu_share=0.2)
    second.follow(Second(at_s=7, planned=4, streams=19, in_flight=1, cpu_share=0.1))
    assert (second.planned, second.streams, second.in_flight, second.cpu_share) == (7, 19, 1, 0.2)
    second.merge(Second(at_s=7, planned=5, streams=20, in_flight=3))
    assert (second.planned, second.streams, second.in_flight) == (12, 39, 4)
