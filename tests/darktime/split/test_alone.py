"""Behind somebody else's mirror a relay samples users by itself, answers at once, and ends by itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split import levels
from darktime.split.gate import Gate
from darktime.split.marks import mark
from darktime.split.relay import open_ear
from darktime.split.relay.answers import Latencies
from darktime.split.relay.copies import NotACopy, Room
from darktime.split.relay.requests import Door, RequestReader
from darktime.split.sampling import sampled
from darktime.split.settings import CopySettings
from realtime_core.free_ports import free_port
from tests.darktime.split.conftest import CANDIDATE, split_settings
from tests.darktime.split.envoys import start_envoy
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.darktime.split.test_bodies import chunked
from tests.support.engines import require_engine
from tests.support.ports import refuses
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

DARKTIME = Path(sys.executable).parent / "darktime"
USERS = [f"user-{number}" for number in range(250)]
IN = [user for user in USERS if sampled("darktime", user, 20)]


def settings(folder: Path, **changes: Any) -> CopySettings:
    return split_settings(folder, "127.0.0.1:1", **{"methods": ("GET", "POST"), "allow_headers": ("X-Who",), **changes})


def ask_as_everybody(front: str) -> None:
    with Client(front) as client:
        for number, user in enumerate(USERS):
            words = {"method": "POST", "body": f"of {user}".encode()} if number % 2 else {}
            head, _ = client.get("/thread/1", f"Cookie: uid={user}", f"X-Who: {user}", **words)
            assert b" 200 " in head


def once_each(production: Taker, dark: Taker, alone: Any) -> None:
    """Exactly the sampled users' requests are at the dark instance, once each, with their bodies."""
    wait_until(lambda: alone.state["requests"] >= len(USERS), what="all requests at the relay")
    wait_until(lambda: alone.state["answered"] == len(IN), what="all copies answered")
    wait_until(lambda: alone.state["outside"] >= len(USERS) - len(IN), what="all others let go")
    taken = [one for one in dark.taken if "x-who" in one.headers]
    assert Counter(one.headers["x-who"] for one in taken) == Counter(IN)
    for one in taken:
        number = USERS.index(one.headers["x-who"])
        assert bytes(one.body) == (f"of {one.headers['x-who']}".encode() if number % 2 else b"")
        assert (one.headers["x-darktime"], one.headers["host"]) == ("1", "site.example")
        assert "cookie" not in one.headers
    assert len(production.taken) == len(USERS)
    state = alone.state
    assert sorted(state["users"]) == sorted(mark(alone.settings.secret, user) for user in IN)
    assert (state["outside"], state["marked"]) == (len(USERS) - len(IN), 0)
    assert state["stand_alone"] is True
    assert state["compared"] == 0
    assert state["note"].startswith("nothing is compared")
    assert state["statuses"] == {"200": len(IN)}
    assert 0 < state["latency"]["p50_ms"] <= state["latency"]["p99_ms"] < 1000


def test_behind_a_plain_nginx_mirror_exactly_the_sampled_users_arrive_once_each(
    make_split: Callable, alone_relay: Callable, folder: Path
) -> None:
    with Taker() as production, Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        levels.set_percent(alone.folder, 20, 100)
        front = make_split(production.address)
        front.start(naive=alone.address)
        ask_as_everybody(front.address)
        once_each(production, dark, alone)


@pytest.mark.engine("envoy")
def test_behind_an_envoy_that_mirrors_everything_exactly_the_sampled_users_arrive_once_each(
    stack: Any, alone_relay: Callable, folder: Path, tmp_path: Path
) -> None:
    with Taker() as production, Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        levels.set_percent(alone.folder, 20, 100)
        port = free_port()
        start_envoy(
            stack,
            tmp_path,
            require_engine("envoy"),
            port=port,
            production=production.address,
            relay=alone.address,
        )
        ask_as_everybody(f"127.0.0.1:{port}")
        once_each(production, dark, alone)


def test_ramp_and_kill_act_with_the_next_request(alone_relay: Callable, folder: Path) -> None:
    with Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        with Client(alone.address) as client:

            def copied() -> bool:
                before, through = alone.state["received"], settled()
                assert b" 204 " in client.get("/page", CANDIDATE)[0]
                wait_until(lambda: settled() > through, what="the request is either")
                return alone.state["received"] > before

            def settled() -> int:
                return alone.state["received"] + alone.state["outside"]

            assert not copied()
            levels.set_percent(alone.folder, 100, 100)
            assert copied()
            levels.kill(alone.folder)
            assert not copied()
            levels.resume(alone.folder)
            assert copied()
            levels.set_percent(alone.folder, 0, 100)
            assert not copied()


def test_it_ends_by_itself(alone_relay: Callable, folder: Path) -> None:
    with Taker() as dark:
        alone = alone_relay(dark.address, settings(folder), ttl_s=0.6, opened=False)
        wait_until(lambda: not alone.thread.is_alive(), what="the end of its time")
        assert refuses(int(alone.address.rpartition(":")[2]))
        assert not alone.state["open"]


@pytest.mark.parametrize("lists", [("only",), ("never",), ("only", "never")], ids="-".join)
def test_the_listed_alone_are_in_and_the_others_are_never(
    alone_relay: Callable, folder: Path, lists: tuple[str, ...]
) -> None:
    users = ("ann", "bob", "eve", "zoe", "..", ".")
    with Taker() as dark:
        flags = {f"{name}_listed": True for name in lists}
        alone = alone_relay(dark.address, settings(folder, **flags))
        levels.set_percent(alone.folder, 100, 100)
        levels.set_list(alone.folder, levels.ONLY, ["ann", "eve"])  # one that nobody asked for counts for nothing
        levels.set_list(alone.folder, levels.NEVER, ["eve", "zoe"])
        with Client(alone.address) as client:
            for user in users:
                client.get("/page", f"Cookie: uid={user}", f"X-Who: {user}")
        wait_until(lambda: alone.state["requests"] == len(users) == alone.state["outside"] + alone.state["answered"])
        found = {one.headers["x-who"] for one in dark.taken if "x-who" in one.headers}
    wanted = {"ann", "eve"} if "only" in lists else set(users)
    assert found == wanted - ({"eve", "zoe"} if "never" in lists else set())


def test_it_answers_at_once_and_holds_streams_so_long_and_no_longer(
    alone_relay: Callable, origin: Callable, folder: Path
) -> None:
    dark = origin()
    dark.hang_s, dark.hang_on = 20, "/hang"
    alone = alone_relay(dark.address, settings(folder), stream_life_s=0.6)
    levels.set_percent(alone.folder, 100, 100)
    with Client(alone.address) as client:
        client.get("/hang", CANDIDATE)
        began = time.monotonic()
        for _ in range(20):
            client.get("/page", CANDIDATE)
        assert time.monotonic() - began < 2
        client.get("/ev/thread:1", CANDIDATE, method="POST", body=b"x")
    wait_until(lambda: dark.streams == 1, what="the stream")
    began = time.monotonic()
    dark.events.append(b'{"channel": "thread:1", "id": "1-1", "at": 1.0}')
    wait_until(lambda: alone.state["channels"] == {"thread:1": 1}, what="its event")
    wait_until(lambda: dark.streams == 0, what="its end")
    assert 0.3 < time.monotonic() - began < 2.5
    assert alone.state["answered"] == 21
    assert alone.state["streams_cut"] == 0
    alone.stop()
    assert alone.state["reasons"] == {"in_flight": 1}


def test_copies_themselves_are_dropped_and_a_dark_instance_that_leads_back_ends_it_before_it_takes_a_copy(
    make_split: Callable, alone_relay: Callable, folder: Path
) -> None:
    with Taker() as production, Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        levels.set_percent(alone.folder, 100, 100)
        with Client(alone.address) as client:
            client.get("/page", CANDIDATE, "X-Darktime: 1")
            client.get("/page", CANDIDATE, "x_darktime: 1")
        assert (alone.state["marked"], alone.state["outside"], alone.state["received"]) == (1, 1, 0)
        alone.stop()
        front = make_split(production.address)
        port = free_port()
        front.start(naive=f"127.0.0.1:{port}")
        levels.set_percent(alone.folder, 100, 100)
        looped = alone_relay(front.address, settings(folder), opened=False, listen=port)
        with Client(looped.address) as client:
            client.get("/page", CANDIDATE)
        wait_until(lambda: not looped.thread.is_alive(), what="its own end")
        assert looped.relay.looped
        assert looped.state["received"] == 0


def request_bytes(number: int, body: bytes | None, *, in_chunks: bool) -> bytes:
    head = f"POST /{number} HTTP/1.1\r\nHost: h\r\n{CANDIDATE}\r\n"
    if body is None:
        return head.encode() + b"\r\n"
    if in_chunks:
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 7)
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def door(room: Room, *, let_in: bool = True, max_body: int = 30) -> Door:
    copy = CopySettings(
        relay_socket=Path("/none"),
        sink_socket=Path("/none"),
        log_port=1,
        dark_state="isolated",
        max_percent=100.0,
        methods=("GET", "POST"),
    )
    return Door(
        Gate(copy),
        secret="s" * 24,
        let_in=lambda _: let_in,
        clock=lambda: 1.5,
        max_head=2000,
        max_body=max_body,
        room=room,
    )


def test_a_body_that_comes_in_tiny_chunks_takes_no_more_memory_than_is_counted() -> None:
    size = 60_000
    room = Room(size)
    reader = RequestReader(door(room, max_body=size))
    raw = request_bytes(1, bytes(size), in_chunks=True)
    head = raw[: raw.index(b"\r\n\r\n") + 4]
    reader.feed(head)
    tracemalloc.start()
    try:
        for _ in range(size // 2 // 10):
            reader.feed(b"2\r\nab\r\n" * 10)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = size - room.left
    assert counted == size
    assert held < 1.5 * counted
    (copy,) = reader.feed(b"0\r\n\r\n")
    assert (copy.body, room.left) == (b"ab" * (size // 2), size)


@given(
    cuts=st.lists(st.integers(0, 900), max_size=6),
    bodies=st.lists(st.tuples(st.none() | st.binary(max_size=40), st.booleans()), min_size=1, max_size=4),
    let_in=st.booleans(),
)
def test_requests_are_read_whole_and_answered_once_each_however_they_are_cut(
    *, cuts: list[int], bodies: list[tuple[bytes | None, bool]], let_in: bool
) -> None:
    room = Room(100)
    reader = RequestReader(door(room, let_in=let_in))
    raw = b"".join(request_bytes(number, body, in_chunks=coded) for number, (body, coded) in enumerate(bodies))
    edges = sorted({0, *(min(cut, len(raw)) for cut in cuts), len(raw)})
    found, answers = [], b""
    for start, end in pairwise(edges):
        found += reader.feed(raw[start:end])
        answers += reader.answer([])
    assert answers.count(b" 204 ") == len(bodies)
    assert room.left == 100
    assert not reader.within
    if not let_in:
        assert found == []
        return
    assert [copy.target for copy in found] == [f"/{number}" for number in range(len(bodies))]
    for copy, (body, _) in zip(found, bodies, strict=True):
        big = len(body or b"") > 30
        assert (copy.body, copy.unfit) == ((b"", "too_big") if big else (body or b"", None))
    assert len({copy.id for copy in found}) == len(found)


@given(st.binary(max_size=300))
def test_no_peer_makes_the_reader_fail_in_another_way_than_by_name(raw: bytes) -> None:
    for start in (b"", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET / HTTP/1.1\r\n"):
        room = Room(100)
        reader = RequestReader(door(room))
        with suppress(NotACopy):
            reader.feed(start + raw + b"\r\n\r\n")
        reader.close()
        assert room.left == 100


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 1\r\nTransfer-Encoding: chunked", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: +1",
        "Transfer-Encoding: gzip", "Name : value", " folded", "Name\x00: value", "A: b\nC: d", "A: b\rC: d",
    ],
)  # fmt: skip
def test_a_request_that_could_be_read_in_two_ways_is_none(lines: str) -> None:
    with pytest.raises(NotACopy):
        RequestReader(door(Room(100))).feed(f"POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n".encode())


def test_a_peer_that_wants_to_close_or_to_be_told_to_go_on_is(alone_relay: Callable, folder: Path) -> None:
    with Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        levels.set_percent(alone.folder, 100, 100)
        for line, version in (("Connection: close", "1.1"), ("Accept: */*", "1.0")):
            with socket.create_connection(("127.0.0.1", alone.relay.port), timeout=5) as link:
                link.sendall(f"GET / HTTP/{version}\r\nHost: h\r\n{line}\r\n\r\n".encode())
                said = b""
                while piece := link.recv(1000):
                    said += piece
                assert said.startswith(b"HTTP/1.1 204 No Content\r\n")
        with socket.create_connection(("127.0.0.1", alone.relay.port), timeout=5) as link:
            head = f"POST /on HTTP/1.1\r\nHost: h\r\n{CANDIDATE}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            link.sendall(head.encode())
            assert link.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            link.sendall(b"ok")
            assert b" 204 " in link.recv(1000)
        wait_until(lambda: any(one.body == b"ok" for one in dark.taken), what="the copy")


def test_a_peer_that_falls_silent_within_a_request_is_let_go_and_an_idle_one_stays(
    alone_relay: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_ear, "WITHIN_S", 0.3)
    with Taker() as dark:
        alone = alone_relay(dark.address, settings(folder))
        with Client(alone.address) as silent, Client(alone.address) as idle:
            idle.get("/page")
            silent.sock.sendall(b"GET / HTTP/1.1\r\nHos")
            assert silent.sock.recv(100) == b""
            assert alone.state["silent"] == 1
            idle.get("/page")


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_a_percentile_is_at_most_five_percent_too_high(times: list[float]) -> None:
    kept = Latencies()
    for seconds in times:
        kept.add(seconds)
    for percent in (50, 99):
        exact = max(sorted(times)[max(0, -(-len(times) * percent // 100) - 1)], 0.0001) * 1000
        assert exact - 0.001 <= (kept.percentile_ms(percent) or 0) <= exact * 1.0501 + 0.001


def relay_command(tmp_path: Path, *words: str) -> list[str]:
    return [str(DARKTIME), "relay", "--percent", "100", "--key", "cookie:uid", "--dark-state", "isolated", *words]


def test_the_command_steers_and_tells_as_the_others_do(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with Taker() as dark:
        words = ("--listen", f"127.0.0.1:{port}", "--dark", f"http://{dark.address}", "--out", "run", "--json")
        with subprocess.Popen(
            relay_command(tmp_path, *words),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as command:
            state = tmp_path / "run" / "relay.json"
            wait_until(lambda: state.exists() and json.loads(state.read_text())["open"], timeout_s=15, what="the relay")
            with Client(f"127.0.0.1:{port}") as client:
                client.get("/page", CANDIDATE)
                wait_until(lambda: len(dark.taken) == 2, what="the probe and the copy")
                for what in (["ramp", "0"], ["kill"], ["who", "u1"]):
                    subprocess.run(
                        [DARKTIME, *what, "--run", "run"],
                        cwd=tmp_path,
                        check=True,
                        capture_output=True,
                        env=environment,
                    )
                client.get("/page", CANDIDATE)
            assert (tmp_path / "run" / "state" / "kill").exists()
            command.send_signal(signal.SIGTERM)
            out, err = command.communicate(timeout=10)
    assert command.returncode == 0, err
    results = json.loads(out)
    require_schema(results)
    assert (results["copies"]["received"], results["requests"]["seen"]) == (1, 2)
    recorded = [json.loads(line) for line in (tmp_path / "run" / "ramps.jsonl").read_text().splitlines()]
    assert [(one["to"], one.get("what")) for one in recorded] == [(0, None), (0, "kill")]
    (instance,) = results["instances"]
    assert (instance["submitted"], instance["answered"]) == (1, results["copies"]["answered"])
    report = [DARKTIME, "report", "run"]
    told = subprocess.run(report, cwd=tmp_path, check=True, capture_output=True, text=True, env=environment).stdout
    assert told.startswith("RELAYED")
    assert (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "split.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ttl", "inf"), "--ttl inf"), (("--ttl", "nan"), "--ttl nan"), (("--stream-life", "0"), "--stream-life 0"),
        (("--key", "ip"), "the mirror's"), (("--listen", "nowhere"), "HOST:PORT"),
        (("--dark", "http://127.0.0.1:9"), "in a circle"),
        (("--max-percent", "50"), "at most"), (("--dark-state", "shared"), "--path"), (("--max-body", "0"), "bytes of a body"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_listens(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    from darktime.console.main import DARKTIME as GROUP
    from darktime.console.main import run

    monkeypatch.chdir(tmp_path)
    base = relay_command(tmp_path, "--listen", "127.0.0.1:9", "--dark", "http://127.0.0.1:10", "--out", "run")[1:]
    assert run(GROUP, [*base, *words]) == 2
    assert told in capsys.readouterr().err
