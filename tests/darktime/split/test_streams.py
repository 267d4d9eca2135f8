"""Mirrored streams are held exactly as long as production's, and what they bring is counted by name."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from darktime.split.commands import LedgerNames
from realtime_core.ledger import balance, read, wait_balanced
from tests.darktime.split.conftest import CANDIDATE
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

STREAM = ("Accept: text/event-stream", CANDIDATE)


def event(number: int) -> bytes:
    return json.dumps({"id": f"1-{number}", "channel": "thread:1", "at": time.time(), "data": {}}).encode()


def test_a_dark_stream_lasts_as_long_as_productions_and_both_sides_are_compared(
    make_split: Callable, origin: Callable, redis_client: Any, redis_name: str, valkey: Any
) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address)
    split.start_relay(dark.address, LedgerNames(url=valkey.url, name=redis_name))
    split.start()
    clients = [split.client() for _ in range(3)]
    for client in clients:
        client.send("/ev/thread:1", *STREAM)
    wait_until(lambda: dark.streams == production.streams == split.state().get("streams") == 3, what="three streams")
    dark.events += [event(1), event(2), b"not ours"]
    wait_until(lambda: split.state().get("events") == 9, what="events read")
    began = time.monotonic()
    for client in clients:
        client.close()
    wait_until(lambda: production.streams == 0, what="the end of production's streams")
    ended = time.monotonic()
    wait_until(lambda: dark.streams == 0, timeout_s=10, what="the end of the dark streams")
    assert time.monotonic() - ended < 1 + (ended - began)
    wait_until(lambda: split.state().get("compared") == 3, what="three pairs")
    wait_until(lambda: len(split.pairs()) == 3, what="three pairs in the file")
    assert {pair["endpoint"] for pair in split.pairs()} == {"/ev/{id}"}
    assert not any(pair["differences"] for pair in split.pairs())
    assert all(pair["production"]["seconds"] < ended - began + 5 for pair in split.pairs())
    assert split.relay.stop() == 0
    found = {one.hop: one for one in balance(read(redis_client, redis_name))}
    assert found["dark>relay"].received == 6
    assert found["mirror>relay"].balanced
    assert found["mirror>relay"].sent == found["mirror>relay"].received == 3
    assert found["relay>compared"].received == 3
    assert not any(one.open_owners for one in found.values())


def test_a_stream_that_answers_a_post_is_held_like_any_other_and_its_events_are_counted_by_channel(
    make_split: Callable, origin: Callable
) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address, methods=("GET", "POST"))
    split.start_relay(dark.address)
    split.start()
    clients = [split.client() for _ in range(2)]
    for client in clients:
        client.send("/ev/complete", CANDIDATE, "Content-Type: application/json", method="POST", body=b'{"tokens":1}')
    wait_until(lambda: dark.streams == production.streams == split.state().get("streams") == 2, what="two streams")
    dark.events += [event(1), event(2), event(3).replace(b"thread:1", b"user:2"), b'{"token":"x"}']
    wait_until(lambda: split.state().get("events") == 8, what="events read")
    state = split.state()
    assert state["channels"] == {"thread:1": 4, "user:2": 2}
    assert sum(state["channels"].values()) + state["events_unnamed"] == state["events"]
    dark.farewell = b"data: " + event(4) + b"\n\n"
    for client in clients:
        client.close()
    wait_until(lambda: production.streams == 0, what="the end of production's streams")
    ended = time.monotonic()
    wait_until(lambda: dark.streams == 0, what="the end of the dark streams")
    assert time.monotonic() - ended < 1.5
    wait_until(lambda: split.state().get("compared") == 2, what="two pairs")
    assert dark.asked == {"POST /ev/complete": 2}
    wait_until(lambda: split.state()["channels"]["thread:1"] == 6, what="what was still on its way")


def test_every_copy_is_compared_or_named_and_the_hops_come_to_zero_whatever_the_dark_instance_does(
    make_split: Callable, origin: Callable, redis_client: Any, redis_name: str, valkey: Any
) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address)
    split.start_relay(dark.address, LedgerNames(url=valkey.url, name=redis_name))
    split.start()
    with split.client() as client:
        for number in range(50):
            client.get(f"/page/{number}", f"Cookie: uid=u{number}")
        wait_until(lambda: split.state().get("compared") == 50, what="fifty pairs")
        dark.stop()
        for number in range(20):
            client.get(f"/page/{number}", f"Cookie: uid=u{number}")
    wait_until(lambda: sum(split.state()["reasons"].values()) == 20, what="twenty reasons")
    state = split.state()
    assert set(state["reasons"]) <= {"dark_refused", "dark_reset"}
    assert state["breaker"] in {"dark_refused", "dark_reset"}
    hops = ["mirror>relay", "relay>compared"]
    found = {one.hop: one for one in wait_balanced(redis_client, redis_name, timeout_s=5, hops=hops)}
    assert all(one.balanced for one in found.values())
    assert found["mirror>relay"].sent == 70
    assert sum(found["relay>compared"].explained.values()) == 20


def test_told_to_stop_the_relay_names_what_is_in_flight_and_closes_its_account(
    make_split: Callable, origin: Callable, redis_client: Any, redis_name: str, valkey: Any
) -> None:
    production, dark = origin(), origin()
    dark.hang_s = 20
    split = make_split(production.address)
    split.start_relay(dark.address, LedgerNames(url=valkey.url, name=redis_name))
    split.start()
    with split.client() as client:
        client.get("/page", CANDIDATE)
        wait_until(lambda: split.state().get("in_flight") == 1 and split.state()["offered"] == 1, what="one in flight")
        assert split.relay.stop() == 0
        # Production goes on without a relay.
        assert b" 200 " in client.get("/page", CANDIDATE)[0]
    found = {one.hop: one for one in balance(read(redis_client, redis_name))}
    assert found["relay>compared"].explained == {"in_flight": 1}
    assert all(one.balanced and not one.open_owners for one in found.values())


def test_a_redis_that_hangs_stalls_neither_the_relay_nor_its_end(
    make_split: Callable, origin: Callable, stack: Any
) -> None:
    production, dark = origin(), origin()
    own = stack.valkey(name="own")
    split = make_split(production.address)
    split.start_relay(dark.address, LedgerNames(url=own.url, name="t"))
    split.start()
    os.kill(own.service.pid, signal.SIGSTOP)
    try:
        with split.client() as client:
            for _ in range(100):
                client.get("/page", CANDIDATE)
        wait_until(lambda: split.state().get("compared") == 100, what="a hundred pairs without Redis")
        began = time.monotonic()
        assert split.relay.stop(timeout_s=20) == 0
        assert time.monotonic() - began < 10
    finally:
        os.kill(own.service.pid, signal.SIGCONT)
