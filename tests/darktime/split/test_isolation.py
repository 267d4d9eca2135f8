"""Production is not harmed: not by a hung dark instance, not by a dead or stopped relay, not in a single byte."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING

import pytest

from darktime.split.relay.expendable import OOM_SCORE, dies_first
from realtime_core.free_ports import free_port
from tests.darktime.split.conftest import CANDIDATE, binaries, workers
from tests.darktime.split.servers import Client, Quick
from tests.darktime.split.taps import LineTap
from tests.support.steady_load import SteadyLoad, failed
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "date")


def test_a_hung_dark_instance_holds_up_the_second_request_of_a_naive_mirror_and_not_ours(
    make_split: Callable, origin: Callable
) -> None:
    production, dark = origin(), origin()
    dark.hang_s = 1.0
    naive = make_split(production.address)
    naive.start(naive=dark.address)
    with naive.client() as client:
        client.timed("/page", CANDIDATE)
        naive_s = client.timed("/page", CANDIDATE)
    naive.nginx.stop()

    ours = make_split(production.address)
    ours.start_relay(dark.address)
    ours.start()
    with ours.client() as client:
        client.timed("/page", CANDIDATE)
        ours_s = min(client.timed("/page", CANDIDATE) for _ in range(3))
    wait_until(lambda: ours.state().get("received", 0) >= 4, what="copies at the relay")
    assert naive_s > 0.9
    assert ours_s < naive_s / 3


def test_out_of_memory_the_kernel_is_to_end_the_relay_before_nginx(make_split: Callable, origin: Callable) -> None:
    split = make_split(origin().address)
    split.start_relay(origin().address)
    split.start()
    of_nginx, of_relay = (
        int(Path(f"/proc/{service.pid}/oom_score_adj").read_text()) for service in (split.nginx, split.relay)
    )
    assert of_relay == OOM_SCORE
    assert of_nginx == int(Path("/proc/self/oom_score_adj").read_text()) < OOM_SCORE


@pytest.mark.parametrize(("before", "after"), [(0, OOM_SCORE), (900, 900)])
def test_a_process_that_is_marked_more_strongly_stays_so(tmp_path: Path, before: int, after: int) -> None:
    score = tmp_path / "score"
    score.write_text(f"{before}\n")
    dies_first(score)
    dies_first(tmp_path / "none")
    assert int(score.read_text()) == after


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_every_byte_of_production_passes_unchanged_and_production_is_asked_exactly_once(
    make_split: Callable, origin: Callable, nginx: Path
) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address)
    split.start_relay(dark.address)
    split.start(nginx=nginx)
    requests = [
        ("GET", "/big", b""), ("GET", "/chunked", b""), ("HEAD", "/big", b""), ("GET", "/a%2Fb//c/../d?x=%20&y=a+b", b""),
        ("POST", "/form", b"x" * 70_000), ("DELETE", "/thing/1", b""), ("GET", "/ev", b""),
    ]  # fmt: skip
    direct = []
    with Client(production.address) as client:
        direct = [client.get(path, CANDIDATE, method=method, body=body) for method, path, body in requests]
    asked, production.asked = production.asked, Counter()
    for cookie in (CANDIDATE, "Cookie: other=1"):
        production.asked.clear()
        with split.client() as client:
            through = [client.get(path, cookie, method=method, body=body) for method, path, body in requests]
        for (head, body), (their_head, their_body), request in zip(through, direct, requests, strict=True):
            assert body == their_body, request
            assert fields(head) == fields(their_head), request
        assert production.asked == asked
    wait_until(lambda: split.state().get("compared", 0) == 5, what="five copies compared")
    assert sum(dark.asked.values()) == 5
    assert all("x-darktime" not in head for head in production.heads)
    assert all(head["x-darktime"] == "1" and "traceparent" in head for head in dark.heads)


def fields(head: bytes) -> Counter[bytes]:
    """Status line and end-to-end headers."""
    first, *lines = head.split(b"\r\n")
    kept = [line for line in lines if line.split(b":")[0].lower().decode() not in HOP_BY_HOP]
    return Counter([first, *kept])


def test_with_the_relay_killed_under_load_no_request_fails_the_sink_takes_its_copies_and_they_resume_with_the_next(
    make_split: Callable, origin: Callable
) -> None:
    production, dark = origin(), Quick()
    split = make_split(production.address, mirror_timeout_ms=500)
    split.ears = replace(split.settings, log_port=free_port(kind=SOCK_DGRAM))
    try:
        split.start_relay(dark.address)
        split.start()
        with (
            LineTap(split.settings, split.ears.log_port) as tap,
            SteadyLoad(split.address, rate=100, seconds=5.5, connections=4, users=10, path="/page/%") as load,
        ):
            wait_until(lambda: dark.requests > 20, what="copies at the first relay")
            split.signal(signal.SIGKILL)
            killed = load.now_s()
            wait_until(lambda: len(tap.sunk) > 20, what="copies at the sink")
            split.relay.stop()
            split.start_relay(dark.address)
            ready = load.now_s()
            wait_until(lambda: split.state().get("compared", 0) > 20, what="copies at the second relay")
            answers = load.answers()
            wait_until(lambda: sum(tap.lines.values()) == len(answers), what="the line of each")
            wait_until(lambda: split.state()["waiting"] == 0, what="each copy's end")
    finally:
        dark.stop()
    assert failed(answers) == []
    assert sum(production.asked.values()) == len(answers)
    assert set(tap.lines.values()) == {1}
    arrived = Counter(int(target.rpartition("/")[2]) for target in dark.targets)
    assert set(arrived.values()) == {1}, "a copy is sent once, whoever dies"
    # Sampled are all; each copy came to the dark instance, or to the sink, or died with the relay that had it in hand.
    away = set(range(len(answers))) - set(arrived)
    assert 0 <= len(away) - len(tap.sunk) <= len(answers) - len(arrived) - len(tap.sunk) <= 64
    assert all(answers[number].due_s > killed - 1 for number in away)
    # nginx tries the relay again two seconds after it has given it up: with the first request from then on.
    assert max(answers[number].due_s for number in away) < ready + 2 + 1


@pytest.mark.parametrize("relay", ["away", "silent"])
def test_what_the_relay_does_not_take_is_told_of_by_the_sink_though_nginx_itself_is_held_up(
    make_split: Callable, relay: str
) -> None:
    """With a limit of one millisecond each pause of the machine is too long, for the sink as well."""
    production = Quick()
    split = make_split(production.address, mirror_timeout_ms=1)
    try:
        with ExitStack() as last:
            if relay == "silent":
                listener = last.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(str(split.settings.relay_socket))
                listener.listen(128)
            tap = last.enter_context(LineTap(split.settings))
            split.start()
            (worker,) = workers(split.nginx.pid)
            load = last.enter_context(SteadyLoad(split.address, rate=200, seconds=1, connections=4))
            while load.running():
                os.kill(worker, signal.SIGSTOP)
                time.sleep(0.004)  # what is held up
                os.kill(worker, signal.SIGCONT)
                time.sleep(0.02)
            answers = load.answers()
            wait_until(lambda: sum(tap.lines.values()) == len(answers), what="the line of each")
            wait_until(lambda: set(tap.sunk) == set(tap.lines), what="the sink's line of each")
        assert failed(answers) == []
    finally:
        production.stop()


def test_requests_that_may_not_be_copied_are_not(make_split: Callable, origin: Callable) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address, allow_cookies=("theme",), allow_query=("id",))
    split.start_relay(dark.address)
    split.start()
    with split.client() as client:
        for method, path, lines in (
            ("GET", "/page", ("X-Darktime: 1",)),
            ("GET", "/page", ("Upgrade: websocket", "Connection: upgrade")),
            ("POST", "/page", ()),
            ("DELETE", "/page", ()),
            ("GET", "/account/Logout", ()),
            ("GET", "/account/%6Cogout", ()),
            ("GET", "/do?action=unsubscribe", ()),
            ("GET", "/admin/", ()),
        ):
            client.get(path, CANDIDATE, *lines, method=method)
        client.get(
            "/good?id=7&token=geheim&flag", "Cookie: uid=u1; theme=dark; session=geheim", "Authorization: geheim"
        )
    wait_until(lambda: split.state().get("compared") == 1, what="the one copy")
    assert split.state()["received"] == 1
    assert re.fullmatch(r"/good\?id=7&token=[0-9a-f]{16}&[0-9a-f]{16}", dark.targets[0])
    assert dark.heads[0]["cookie"] == "theme=dark"
    assert dark.heads[0]["host"] == "site.example"
    assert "geheim" not in repr(dark.heads)
    assert "u1" not in split.state_path.read_text() + split.pairs_path.read_text()
    assert sum(production.asked.values()) == 9
    assert all("x-darktime" not in head for head in production.heads)
