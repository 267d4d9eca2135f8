"""One relay holds as many streams as it says: each is read, each ends with its own line, none leaves for want of room."""

from __future__ import annotations

import resource
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from darktime.console.starting import say_what_fits
from darktime.split.commands import CompareOptions
from darktime.split.dark_side import dark_side
from darktime.split.relay.copies import ANSWER
from darktime.split.relay.open_files import fewer, fitted, fitting
from darktime.split.relay.settings import CompareSettings, Limits, RelaySettings
from tests.darktime.split.servers import Client
from tests.darktime.split.test_lost_lines import main_line
from tests.darktime.split.test_relay_ears import copy_bytes
from tests.support.memory import resident_kb
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from realtime_core.stack import Stack
    from tests.darktime.split.conftest import Split

ACCEPT = "Accept: text/event-stream"
# What waits for two seconds expires, also on a machine that has other things to do.
AT_ONCE = 200  # copies between two looks
LINES_AT_ONCE = 1_000
MOST_BYTES_A_STREAM = 6_000  # 3,100 when it was measured; a thread, or a buffer kept for each, would be far beyond


def asked(address: str, path: str) -> int:
    """What the dark instance says: how many streams it has."""
    with Client(address) as client:
        return int(client.get(path)[1])


def many(stack: Stack, split: Split, count: int, timeout_s: float) -> float:
    """Hold so many, say something on each, and end them; bytes of the relay's memory that one took."""
    service = stack.start("dark", [sys.executable, "-m", "tests.darktime.split.many_streams"], ready="streams on ")
    address = (service.line_after("streams on ") or "").split()[-1]
    split.start_relay(address)
    wait_until(split.state, what="the relay's state")
    before = resident_kb(split.relay.pid)
    began: dict[int, str] = {}
    with ExitStack() as last:
        nginx = last.enter_context(socket.socket(socket.AF_UNIX))
        nginx.settimeout(10)
        nginx.connect(str(split.settings.relay_socket))
        udp = last.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.connect(("127.0.0.1", split.settings.log_port))
        for start in range(0, count, AT_ONCE):
            part = range(start, min(start + AT_ONCE, count))
            now = time.time()
            began |= dict.fromkeys(part, f"{now:.3f}")
            nginx.sendall(b"".join(copy_bytes(f"{one:032x}", "GET", f"/ev/{one}", ACCEPT, at=now) for one in part))
            answered = 0
            while answered < len(part):
                answered += nginx.recv(65_536).count(b"\r\n\r\n")
            held = part.stop
            wait_until(
                lambda held=held: split.state()["streams"] >= held or split.state()["reasons"],
                timeout_s,
                f"{held} streams",
            )
            assert split.state()["reasons"] == {}
        assert asked(address, "/count") == count
        assert (split.state()["reasons"], split.state()["breaker"]) == ({}, None)
        took = (resident_kb(split.relay.pid) - before) * 1024 / count
        assert asked(address, "/say") == count
        wait_until(lambda: split.state()["events"] == 2 * count, timeout_s, what="two events of each")
        for start in range(0, count, LINES_AT_ONCE):
            for one in range(start, min(start + LINES_AT_ONCE, count)):
                udp.send(main_line(one, split.settings.secret, at=began[one], type="text/event-stream"))
            ended = min(start + LINES_AT_ONCE, count)
            wait_until(lambda ended=ended: split.state()["compared"] >= ended, timeout_s, what=f"{ended} pairs")
        wait_until(lambda: asked(address, "/count") == 0, timeout_s, what="the end of all")
    state = split.state()
    assert (state["compared"], state["reasons"], state["streams"], state["streams_cut"]) == (count, {}, 0, 0)
    assert state["channels"] == {"thread:1": 2 * count}
    return took


def test_five_hundred_streams_are_held_at_once_and_each_ends_with_its_line(stack: Stack, make_split: Callable) -> None:
    many(stack, make_split("127.0.0.1:9"), 500, 10)


@pytest.mark.parametrize(
    ("files", "instances", "beside", "streams", "lasting"),
    [
        (resource.RLIM_INFINITY, 1, 0, 50_000, 1_000),
        (1_048_576, 1, 116, 50_000, 1_000),
        (1_048_576, 64, 0, 15_311, 1_000),
        (20_000, 1, 0, 18_360, 1_000),
        (20_000, 2, 116, 8_590, 1_000),
        (1_024, 1, 0, 480, 160),
        (64, 1, 0, 0, 0),
    ],
)
def test_as_many_streams_are_held_as_a_process_may_have_files_open_beside_what_others_need(
    files: int, instances: int, beside: int, streams: int, lasting: int
) -> None:
    wanted = Limits()
    fit = fitting(wanted, files, instances=instances, connections=64, beside=beside)
    assert (fit.streams, fit.lasting) == (streams, lasting)
    assert fit == replace(wanted, streams=streams, lasting=lasting)
    line = fewer(wanted, fit, files)
    assert (line is None) == (streams == wanted.streams)
    assert line is None or f"{streams:,} mirrored streams" in line
    assert line is None or f"{files:,} files open" in line


def test_who_is_compared_with_takes_its_part_of_the_open_files_and_one_that_calibrates_counts_as_an_instance(
    tmp_path: Path,
) -> None:
    def streams(compare: CompareSettings | None) -> int:
        settings = RelaySettings(
            dark=dark_side(["http://127.0.0.1:7"]), secret="s", state=tmp_path / "state", compare=compare
        )
        return fitted(settings, 20_000).limits.streams

    compare = CompareSettings(secondary=("127.0.0.1", 6))
    assert streams(compare) == streams(None) - 116
    assert streams(replace(compare, calibrate_s=1.0)) == 8_590


def test_what_a_split_says_at_its_start_is_how_many_streams_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    side, compare = dark_side(["http://127.0.0.1:7"]), CompareOptions()
    for files, said in ((resource.RLIM_INFINITY, ""), (1_048_576, ""), (1_024, "480 mirrored streams of an instance")):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        say_what_fits(side, compare, 1)
        told = capsys.readouterr().err
        assert (said in told) if said else not told
    assert "ulimit -Hn" in told


def test_a_relay_with_few_open_files_holds_what_fits_and_takes_each_copy_all_the_same(
    stack: Stack, make_split: Callable
) -> None:
    """The hard limit leaves room for 97 streams: of 200 the others are relay_full, and no connection of nginx's is refused."""
    service = stack.start("dark", [sys.executable, "-m", "tests.darktime.split.many_streams"], ready="streams on ")
    split = make_split("127.0.0.1:9")
    split.start_relay(
        (service.line_after("streams on ") or "").split()[-1],
        None,
        under=("sh", "-c", 'ulimit -n 342; exec "$@"', "sh"),
    )
    with ExitStack() as last:
        nginx = [last.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(80)]
        for number, link in enumerate([*nginx, *nginx, *nginx[:40]]):
            if number < len(nginx):
                link.settimeout(5)
                link.connect(str(split.settings.relay_socket))
            link.sendall(copy_bytes(f"{number:032x}", "GET", f"/ev/{number}", ACCEPT))
            assert link.recv(65_536) == ANSWER
        wait_until(lambda: split.state()["streams"] == 97, what="the streams that fit")
        wait_until(lambda: split.state()["reasons"] == {"relay_full": 103}, what="those that do not")
        assert split.state()["breaker"] is None


@pytest.mark.long
@pytest.mark.timeout(300)
def test_fifteen_thousand_streams_are_held_at_one_relay_with_one_descriptor_and_little_memory_each(
    stack: Stack, make_split: Callable, record_property: Callable
) -> None:
    took = many(stack, make_split("127.0.0.1:9"), 15_000, 60)
    record_property("bytes_a_stream", round(took))
    assert took < MOST_BYTES_A_STREAM
