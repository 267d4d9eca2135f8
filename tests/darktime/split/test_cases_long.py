"""What a split must withstand, at full size. Alone on a machine: the bounds on time are those of a quiet one.

``DARKTIME_LONG_CASES`` (1 by default) makes legs, counts and holds so many times as long, to try them out: below 1 the bounds on
times and memory of the pairs of legs are noted and not held.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels
from darktime.split.results import settled
from darktime.split.sampling import sampled
from darktime.split.verdict import VerdictSettings
from realtime_core.free_ports import free_port
from realtime_core.stack import ready_line
from tests.darktime.blast.instances import Instance
from tests.darktime.split.conftest import CANDIDATE, workers
from tests.darktime.split.servers import Quick
from tests.darktime.split.taps import LineTap
from tests.darktime.split.test_cases import (
    COMPARED,
    MIRROR,
    accounted,
    compared_with_todays,
    held_up,
    hops,
    ledger,
    outcome,
    quick,
    streams_over_a_reload,
    told_of_goods,
)
from tests.support.memory import Watch, most_slope_a_minute, resident_kb
from tests.support.steady_load import SteadyLoad, failed, percentile
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.commands import LedgerNames

__all__ = ["ledger", "quick"]  # fixtures
ROOT = Path(__file__).parents[3]
SIZE = float(os.environ.get("DARKTIME_LONG_CASES", "1"))
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PAIRS = 7
LEG_S = 10.0 * SIZE
SETTLES_S = 0.5  # of each leg, after the switch
WARM_S = 15.0 * SIZE
FULL_S = 150.0 * SIZE  # until the relay's tables are as large as they get: some 45,000 copies
HOLD_S = 480.0 * SIZE  # and long enough for a step of the allocator to be told from a leak
RATE = 500
MOST_MS = 2.0
MOST_SLOPE_A_MINUTE = 0.01
MAX_CONNS, MAX_FAILS = 256, 5  # of the relay, in nginx's configuration
FAULTS = ["dead", "hung", "ten-times-slower", "resetting", "relay-killed"]


@pytest.fixture
def server(stack: Any) -> Callable[..., Instance]:
    """Starts a server in a process of its own, so that nothing of the test delays its answers."""
    numbers = count()

    def start(name: str, **options: object) -> Instance:
        words = [word for option, value in options.items() for word in (f"--{option}", str(value))]
        argv = [sys.executable, "-m", "tests.darktime.blast.servers", name, *words]
        service = stack.start(f"{name}{next(numbers)}", argv, ready="control on ", cwd=ROOT)
        listening, control = ready_line(service, "listening on "), ready_line(service, "control on ")
        return Instance(service=service, address=listening, control=control)

    return start


def dark_side(fault: str, server: Callable[..., Any]) -> str:
    """A dark instance with that fault."""
    if fault == "dead":
        return f"127.0.0.1:{free_port()}"
    kinds: dict[str, tuple[str, dict[str, object]]] = {
        "hung": ("delay", {"delay": "constant:3600000"}),
        "ten-times-slower": ("delay", {"delay": "constant:50"}),
        "resetting": ("erring", {"silent": 1.0}),
        "relay-killed": ("null", {}),
    }
    name, options = kinds[fault]
    return server(name, **options).address


@pytest.mark.parametrize("connections", [50, 500])
@pytest.mark.parametrize("fault", FAULTS)
def test_at_500_a_second_production_is_as_fast_as_without_a_mirror_whatever_ails_the_dark_side(
    make_split: Callable, server: Callable, fault: str, connections: int, record_property: Callable
) -> None:
    """Mirror off and on by turns, in one nginx, under one load on the same kept connections."""
    production = server("delay", delay="constant:5")
    dark = dark_side(fault, server)
    split = make_split(production.address, worker_connections=4096)
    split.start_relay(dark)
    split.start(percent=100)
    turns = [on for pair in range(PAIRS) for on in ((False, True) if pair % 2 == 0 else (True, False))]
    seconds = WARM_S + len(turns) * LEG_S
    with SteadyLoad(split.address, rate=RATE, seconds=seconds, connections=connections, users=1000) as load:
        load.until(WARM_S)
        for number, on in enumerate(turns):
            levels.renew(split.folder, time.time(), split.settings.slot_s)
            levels.set_percent(split.folder, 100 if on else 0, 100)
            if on and fault == "relay-killed":
                load.until(WARM_S + (number + 0.2) * LEG_S)
                split.signal(signal.SIGKILL)
                load.until(WARM_S + (number + 0.4) * LEG_S)
                split.relay.stop()
                split.start_relay(dark)
            load.until(WARM_S + (number + 1) * LEG_S)
        answers = load.answers()
    assert failed(answers) == []
    assert production.counters()["requests"] == len(answers), "each request once, and no copy"
    legs = [
        [one for one in answers if WARM_S + number * LEG_S + SETTLES_S <= one.due_s < WARM_S + (number + 1) * LEG_S]
        for number in range(len(turns))
    ]
    p99_ms = [1000 * percentile(leg, 0.99) for leg in legs]
    by_pair = [sorted(zip(turns[at : at + 2], p99_ms[at : at + 2], strict=True)) for at in range(0, len(turns), 2)]
    added_ms = [on - off for (_, off), (_, on) in by_pair]
    record_property("p99 without, ms", f"{median(off for (_, off), _ in by_pair):.2f}")
    record_property("added, ms", f"{median(added_ms):+.2f} ({min(added_ms):+.2f} to {max(added_ms):+.2f})")
    state = split.state()
    record_property("reasons", state["reasons"])
    what_left(fault, state)
    if SIZE >= 1:
        assert median(added_ms) < MOST_MS, added_ms


@pytest.mark.parametrize("fault", ["hung", "ten-times-slower"])
def test_nginx_and_relay_take_no_more_memory_once_their_tables_are_full(
    make_split: Callable, server: Callable, fault: str, record_property: Callable
) -> None:
    production = server("delay", delay="constant:5")
    split = make_split(production.address, worker_connections=4096)
    split.start_relay(dark_side(fault, server))
    split.start(percent=100)
    still = [split.nginx.pid, *workers(split.nginx.pid), split.relay.pid]
    with (
        SteadyLoad(split.address, rate=RATE, seconds=HOLD_S, connections=50, users=1000) as load,
        Watch(lambda: still, 1.0) as watch,
    ):
        while load.running():
            levels.renew(split.folder, time.time(), split.settings.slot_s)
            time.sleep(min(5.0, HOLD_S / 20))
        assert failed(load.answers()) == []
    grown = {
        pid: most_slope_a_minute([one for one in looks if one[0] > load.began + FULL_S])
        for pid, looks in watch.looks.items()
    }
    record_property("RSS, kB", ", ".join(str(looks[-1][1]) for looks in watch.looks.values()))
    record_property("RSS, most % a minute", ", ".join(f"{100 * one:+.2f}" for one in grown.values()))
    what_left(fault, split.state())
    if SIZE >= 1:
        assert max(grown.values()) < MOST_SLOPE_A_MINUTE, grown


def what_left(fault: str, state: dict[str, Any]) -> None:
    """The reasons that this fault has, and no more in flight than there may be."""
    assert state["in_flight"] <= 64
    assert state["queued"] <= 2_000
    reasons = {reason for reason, count in state["reasons"].items() if count}
    expected = {
        "dead": {"dark_refused"},
        "hung": {"dark_timeout", "expired", "relay_full"},
        "ten-times-slower": set(),
        "resetting": {"dark_reset"},
        "relay-killed": set(),
    }[fault]
    assert reasons <= expected | {"expired"}, reasons
    if fault == "hung" and SIZE >= 1:
        assert state["reasons"]["dark_timeout"] > 0
    if fault in {"dead", "resetting"}:
        assert state["compared"] == 0
    if fault == "relay-killed" and SIZE >= 1:
        assert state["compared"] > 0, "copies went on after the last one"


def test_a_dark_instance_that_is_ten_times_slower_and_too_small_is_a_no_go_and_what_it_cannot_take_is_named(  # noqa: PLR0917
    make_split: Callable,
    server: Callable,
    ledger: LedgerNames,
    redis_client: Any,
    redis_name: str,
    record_property: Callable,
) -> None:
    """It takes 320 a second of 1,500: the queue is full, and what waits too long is let go."""
    production, dark = server("delay", delay="constant:20"), server("delay", delay="constant:200")
    split = make_split(production.address, mirror_timeout_ms=2_000)  # each copy is to come to the relay
    split.start_relay(dark.address, ledger)
    split.start()
    with SteadyLoad(split.address, rate=1_500, seconds=20 * SIZE, connections=100, users=500) as load:
        answers = load.answers()
    assert failed(answers) == []
    wait_until(lambda: split.state()["offered"] == len(answers) and settled(split.state()), timeout_s=20, what="all")
    reasons = split.state()["reasons"]
    assert split.relay.stop() == 0
    found = hops(redis_client, redis_name)
    record_property("reasons", reasons)
    assert all(one.balanced for one in found.values())
    assert found[MIRROR].sent == len(answers)
    assert reasons.get("expired", 0) + reasons.get("relay_full", 0) > found[COMPARED].sent / 3
    if SIZE >= 1:
        assert reasons["relay_full"] > 0
    verdict = outcome(split, found)
    assert verdict.outcome == "NO-GO"
    assert any("/page" in reason and "p95" in reason for reason in verdict.reasons), verdict.reasons


@pytest.mark.parametrize(
    ("limit_ms", "connections", "rate"),
    [(50, 50, RATE), (50, 500, RATE), (150, 50, RATE), (1_500, 500, RATE), (50, 20, 700), (500, 50, 180)],
    ids=["50-clients", "500-clients", "50-clients-150ms", "500-clients-1500ms", "50ms", "500ms"],
)
def test_a_relay_that_is_stopped_for_20_s_under_load_delays_what_is_under_way_once_and_then_one_request_in_two_seconds(  # noqa: PLR0917
    make_split: Callable, server: Callable, record_property: Callable, limit_ms: int, connections: int, rate: int
) -> None:
    """A request waits for its predecessor's copy on the same connection, for as long as nginx waits for the relay.

    At 500 requests a second from 50 clients or more a connection has its turn again after the 50 ms that nginx waits: of
    requests hardly any is delayed, and never more than there are connections. In the others each connection has its turn
    within that time. Then its next request stands behind the copy already, and is copied the moment that wait is over; so
    that those whose waits are over first, four before the fifth failure, are held up twice. Copies beyond 256 go to the sink.
    """
    stopped_s, limit_s = 20.0 * max(SIZE, 0.2), limit_ms / 1000
    production, dark = server("null"), server("null")
    split = make_split(production.address, mirror_timeout_ms=limit_ms, worker_connections=4096)
    split.start_relay(dark.address)
    split.start()
    with SteadyLoad(split.address, rate=rate, seconds=stopped_s + 10, connections=connections, users=100) as load:
        load.until(2.5)
        seen = dark.counters()["requests"]
        wait_until(lambda: dark.counters()["requests"] > seen + 50, what="copies that flow")
        split.signal(signal.SIGSTOP)
        began = load.now_s()
        try:
            load.until(began + stopped_s)
        finally:
            split.signal(signal.SIGCONT)
        ended = load.now_s()
        before = dark.counters()["requests"]
        wait_until(lambda: dark.counters()["requests"] > before + rate, timeout_s=8, what="copies again")
        answers = load.answers()
    assert failed(answers) == []
    assert production.counters()["requests"] == len(answers)
    delayed = held_up([one for one in answers if began - 0.1 < one.due_s < ended + 0.1], 0.3 * limit_s)
    at_first = [one for one in delayed if one.due_s < began + 2 * limit_s + 0.1]
    turn_s = connections / rate
    assert delayed or turn_s >= limit_s, "the relay was stopped"
    record_property("delayed at first and then", f"{len(at_first)} and {len(delayed) - len(at_first)}")
    longest_s = max((one.took_s for one in delayed), default=0.0)
    record_property("longest, ms", f"{1000 * longest_s:.0f}")
    if SIZE >= 1 or limit_s > 0.1:  # what a busy machine delays is as much as the smaller limit
        most = max(connections, MAX_FAILS) if turn_s >= limit_s else min(connections, MAX_CONNS) + MAX_FAILS - 1
        assert len(at_first) <= most
        assert longest_s < limit_s + 0.02
        assert len(delayed) - len(at_first) <= stopped_s / 2 + 1

    def all_named() -> bool:
        """The state is written twice a second: one that is settled may be from before the last lines."""
        told = split.state()
        return settled(told) and told["offered"] + told["log_lost"] >= len(answers)

    wait_until(all_named, timeout_s=10, what="each copy named")
    state = split.state()
    record_property("expired", state["reasons"].get("expired", 0))
    record_property("log lines lost, of room for", f"{state['log_lost']} of {state['log_room']}")
    # Each answer has its line, and each line was read or is counted as lost: where there was room for all, nothing is missing.
    offered, never_came = state["offered"], sum(state["mirror_reasons"].values())
    assert offered == state["received"] + never_came
    assert offered <= len(answers) <= offered + state["log_lost"]
    assert state["mirror_reasons"]["shed_sink"] + state["log_lost"] > 0.8 * rate * (stopped_s - 1)
    assert state["reasons"].get("expired", 0) > 0, "the old ones were not sent in a burst"
    assert dark.counters()["requests"] == state["compared"]


@pytest.fixture
def origins(origin: Callable) -> tuple[Any, Any]:
    return origin(), origin()


def test_ten_thousand_users_are_ramped_up_and_down_under_load_and_each_step_has_exactly_its_own(
    make_split: Callable, server: Callable, folder: Path, record_property: Callable
) -> None:
    users, rate, steps = 10_000, 1_000, (1, 5, 25, 5, 0)
    hold_s = users / rate * 1.2 * max(SIZE, 0.2)
    production = server("null")
    split = make_split(production.address, max_percent=25.0, salt="ramp", mirror_timeout_ms=5_000, slot_s=1000)
    relay = Quick(split.settings.relay_socket)
    try:
        split.start(percent=0)
        seconds = hold_s * len(steps) + 1
        with SteadyLoad(split.address, rate=rate, seconds=seconds, connections=100, users=users) as load:
            found = []
            load.until(0.5)
            for step, percent in enumerate(steps):
                levels.set_percent(folder, percent, 25)
                load.until(0.5 + step * hold_s + 0.2)  # what was under way at the change
                relay.users = Counter()
                load.until(0.5 + (step + 1) * hold_s)
                found.append(set(relay.users))
            answers = load.answers()
    finally:
        relay.stop()
    assert failed(answers) == []
    assert production.counters()["requests"] == len(answers)
    asked = {f"u{number}" for number in range(min(users, round((hold_s - 0.2) * rate)))}
    if len(asked) == users:
        for members, percent in zip(found, steps, strict=True):
            assert members == {user for user in asked if sampled("ramp", user, percent)}
            share = percent / 100
            assert abs(len(members) / users - share) <= 3 * (share * (1 - share) / users) ** 0.5
        assert found[0] < found[1] < found[2]
        assert (found[3], found[4]) == (found[1], set())
    record_property("members", [len(one) for one in found])
    for members, percent in zip(found, steps, strict=True):
        assert all(sampled("ramp", user, percent) for user in members)


def test_an_event_stream_of_a_minute_that_its_client_leaves_after_20_s_ends_on_the_dark_side_with_it(
    make_split: Callable, origins: tuple[Any, Any], record_property: Callable
) -> None:
    """Two clients: one stays for the minute, the other leaves."""
    production, dark = origins
    minute_s, leaves_s = 60 * SIZE, 20 * SIZE
    split = make_split(production.address)
    split.start_relay(dark.address)
    split.start()
    with split.client() as leaving:
        with split.client() as staying:
            opened, heads = [], []
            for client in (leaving, staying):
                asked = time.monotonic()
                client.send("/ev/thread:1", CANDIDATE, "Accept: text/event-stream")
                client.sock.recv(65536)
                heads.append(time.monotonic() - asked)
                want = len(opened) + 1
                wait_until(lambda: dark.streams == want, what="the dark stream")  # noqa: B023
                opened.append(time.monotonic() - asked)
            began = time.monotonic()
            sent = 0

            def say_until(second: float) -> None:
                nonlocal sent
                while time.monotonic() - began < second:
                    event = b'{"id":"1-%d","channel":"thread:1","at":%f}' % (sent, time.time())
                    production.events.append(event)
                    dark.events.append(event)
                    sent += 1
                    time.sleep(0.1)

            say_until(leaves_s)
            at_leaving = sent
            leaving.close()
            left = time.monotonic()
            wait_until(lambda: production.streams == 1, what="production's end of the first")
            wait_until(lambda: dark.streams == 1, what="the dark one's end")
            closed_s = time.monotonic() - left
            wait_until(lambda: split.state()["streams"] == 1, what="the other is held")
            say_until(minute_s)
        left = time.monotonic()
        wait_until(lambda: dark.streams == 0, what="the other's end")
        closed_s = max(closed_s, time.monotonic() - left)
    wait_until(lambda: split.state()["compared"] == 2, what="two pairs")
    state = split.state()
    record_property("opened within, ms", f"{1000 * max(opened):.0f}")
    record_property("closed within, ms", f"{1000 * closed_s:.0f}")
    record_property("production's head, ms", f"{1000 * max(heads):.0f}")
    assert max(opened) < 0.1
    assert closed_s < 1
    assert sent + at_leaving <= state["events"] <= sent + at_leaving + 10, "what came within the farewell may count"
    assert state["channels"] == {"thread:1": state["events"]}
    assert state["reasons"] == {}


def test_ten_thousand_clients_that_leave_before_their_answer_leave_nothing_behind(
    make_split: Callable, server: Callable, record_property: Callable
) -> None:
    production, dark = server("delay", delay="constant:3600000"), server("delay", delay="constant:3600000")
    split = make_split(production.address, mirror_timeout_ms=5_000)
    split.start_relay(dark.address)
    split.start()
    pids = [split.relay.pid, *workers(split.nginx.pid)]

    def leave(times: int, at_once: int = 25) -> None:
        for batch in range(times // at_once):
            seen = dark.counters().get("requests", 0)
            clients = [split.client() for _ in range(at_once)]
            for client in clients:
                client.send("/page", CANDIDATE)
            if batch % 2:  # every other time all copies are with the dark instance by then
                wait_until(lambda: dark.counters()["requests"] >= seen + at_once, what="the copies")  # noqa: B023
            for client in clients:
                client.close()

    leave(2_000)
    wait_until(lambda: split.state()["waiting"] == 0, timeout_s=30, what="the end of the first")
    before = [(resident_kb(pid), files(pid)) for pid in pids]
    leave(round(10_000 * SIZE))
    wait_until(lambda: split.state()["waiting"] == 0, timeout_s=30, what="the end of all")
    for pid, (was_kib, was_files) in zip(pids, before, strict=True):
        record_property("grown, KiB", resident_kb(pid) - was_kib)
        # What has left is remembered so that a late line is not counted again, up to a bound of 20,000.
        assert resident_kb(pid) - was_kib < 8_192
        assert files(pid) <= was_files + 64, "nginx keeps 32 connections to the relay"
    state = split.state()
    record_property("reasons", state["reasons"] | state["mirror_reasons"])
    ended = state["reasons"].get("client_abort", 0) + state["mirror_reasons"].get("client_abort", 0)
    assert ended + state["mirror_reasons"].get("shed_sink", 0) == state["offered"]
    assert ended > 0.9 * state["offered"]
    assert (state["in_flight"], state["queued"], state["streams"]) == (0, 0, 0)


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_11_copies_that_are_lost_doubled_and_tripled_among_100000_are_named_and_no_other(
    make_split: Callable, quick: Quick, ledger: LedgerNames, redis_client: Any, redis_name: str
) -> None:
    accounted(make_split, quick, ledger, redis_client, redis_name, round(100_000 * SIZE) // 12 * 12, 4)


def test_a_reload_of_nginx_with_200_streams_open_cuts_none_and_their_copies_go_on(
    make_split: Callable, origins: tuple[Any, Any]
) -> None:
    production, dark = origins
    split = make_split(production.address, mirror_timeout_ms=5_000)
    split.start_relay(dark.address)
    split.start()
    streams_over_a_reload(split, production, dark, 200)


def test_a_kill_file_ends_all_copies_within_a_second_under_load(
    make_split: Callable, server: Callable, record_property: Callable
) -> None:
    production = server("null")
    split = make_split(production.address)
    split.start()
    with (
        LineTap(split.settings) as tap,
        SteadyLoad(split.address, rate=RATE, seconds=10 * max(SIZE, 0.3), connections=50, users=100) as load,
    ):
        wait_until(lambda: len(tap.lines) > RATE, what="copies")
        levels.kill(split.folder)
        killed = time.monotonic()
        last = killed
        seen = len(tap.lines)
        while load.running():
            if len(tap.lines) != seen:
                seen, last = len(tap.lines), time.monotonic()
            time.sleep(0.005)
        answers = load.answers()
    record_property("copies for, ms", f"{1000 * (last - killed):.0f}")
    assert failed(answers) == []
    assert last - killed < 1
    assert seen < len(answers)


@pytest.mark.parametrize("wrong_every", [0, 100 if SIZE >= 1 else 10], ids=["same-code", "wrong-price"])
def test_of_thousands_of_answers_the_same_code_is_a_go_and_1_percent_of_wrong_prices_a_no_go_that_names_them(  # noqa: PLR0917
    make_split: Callable,
    ledger: LedgerNames,
    redis_client: Any,
    redis_name: str,
    record_property: Callable,
    wrong_every: int,
) -> None:
    count = round(6_000 * SIZE) // 100 * 100
    # All three servers are threads of one Python process: their times are not what this is about.
    margins = VerdictSettings(latency_slack_s=0.05)
    if SIZE < 1:
        margins = VerdictSettings(error_margin=0.1, difference_margin=0.1, latency_slack_s=5.0)
    verdict, state = compared_with_todays(
        *(make_split, ledger, redis_client, redis_name),
        wrong_every=wrong_every,
        count=count,
        rate=100,
        users=1_000,
        margins=margins,
    )
    record_property("verdict", f"{verdict.outcome}: {'; '.join(verdict.reasons)}")
    told_of_goods(verdict, state, wrong=count // wrong_every if wrong_every else 0)
