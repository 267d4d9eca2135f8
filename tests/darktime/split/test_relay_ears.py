"""The relay against whoever else speaks to it: forged lines, lost lines, hostile peers; and what it tells about itself."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.log_format import read_line
from darktime.split.relay import reasons
from darktime.split.relay.copies import CopyReader, NotACopy, masked, request_bytes
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s" * 24
ID = "0123456789abcdef" * 2


def line(**changes: object) -> bytes:
    fields = {
        "v": 1,
        "k": SECRET,
        "id": ID,
        "at": "1764000000.123",
        "status": "200",
        "type": "text/plain",
        "up": "0.004",
    }
    return b"<190>Nov 24 04:44:10 darktime: " + json.dumps({**fields, **changes}).encode()


def copy_bytes(
    request_id: str = ID, method: str = "GET", target: str = "/page", *lines: str, at: float | None = None
) -> bytes:
    at = time.time() if at is None else at
    head = [
        f"{method} {target} HTTP/1.1", "Host: h", "X-Darktime: 1", f"X-Darktime-Id: {request_id}", f"X-Darktime-At: {at:.3f}",
        "X-Darktime-User: u1", *lines,
    ]  # fmt: skip
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def test_a_line_is_read_with_whatever_bytes_and_lists_of_numbers_nginx_writes() -> None:
    found = read_line(line(up="0.001, 0.002 : 0.25", head="-", type="Text/HTML; charset=\udcff"), SECRET)
    assert found is not None
    assert (found.seconds, found.head_seconds, found.content_type) == (0.25, None, "text/html")
    raw = line().replace(b"text/plain", b"text/\xff\xfe")
    assert read_line(raw, SECRET) is not None
    assert read_line(line(status="499"), SECRET).aborted
    assert read_line(line(sink=1), SECRET).sink


@pytest.mark.parametrize(
    "changes",
    [{"k": "x" * 24}, {"k": None}, {"k": 7}, {"v": 2}, {"id": "../x"}, {"id": None}, {"at": "-"}, {"k": "é\ud800"}],
)
def test_a_line_without_the_secret_or_of_another_kind_is_none(changes: dict[str, object]) -> None:
    assert read_line(line(**changes), SECRET) is None


@given(st.binary(max_size=200))
def test_no_datagram_makes_the_reader_raise(raw: bytes) -> None:
    assert read_line(raw, SECRET) is None


@given(cuts=st.lists(st.integers(0, 800), max_size=5), count=st.integers(1, 3))
def test_copies_are_read_whole_however_they_are_cut(cuts: list[int], count: int) -> None:
    raw = b"".join(copy_bytes(f"{number:032x}", "GET", f"/p/{number}") for number in range(count))
    reader = CopyReader(max_head=1000, methods=("GET",))
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    found = [copy for start, end in pairwise(edges) for copy in reader.feed(raw[start:end])]
    assert [copy.target for copy in found] == [f"/p/{number}" for number in range(count)]


@given(st.binary(max_size=400))
def test_no_peer_makes_the_copy_reader_fail_in_another_way_than_by_name(raw: bytes) -> None:
    reader = CopyReader(max_head=200, methods=("GET",))
    try:
        for copy in reader.feed(raw + b"\r\n\r\n"):
            assert copy.unfit is None
    except NotACopy:
        pass


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("POST", "/p"), "unsafe_method"),
        (("GET", "/p", "Upgrade: h2c"), "upgrade"),
        (("GET", "/p", "Content-Length: 5"), "too_big"),
        (("PUT", "/p", "Content-Length: 5"), "unsafe_method"),
        (("POST", "/p", "Content-Length: 5"), "too_big"),
        (("POST", "/p", "X-Darktime-Body: too_big"), "too_big"),
    ],
)
def test_a_copy_that_may_not_go_on_has_its_reason(words: tuple[str, ...], reason: str) -> None:
    reader = CopyReader(max_head=1000, methods=("GET", "POST") if words[-1] != "/p" else ("GET",), max_body=4)
    body = b"12345" if "Content-Length: 5" in words else b""
    copy, after = reader.feed(copy_bytes(ID, *words) + body + copy_bytes("f" * 32))
    assert (copy.unfit, copy.body, after.unfit) == (reason, b"", None)


def test_what_goes_to_the_dark_instance_says_that_it_is_a_copy_and_keeps_no_trace_or_coding_of_the_original() -> None:
    raw = copy_bytes(
        ID,
        "GET",
        "/p?id=7&q=words",
        "Traceparent: 00-a-b-01",
        "Accept-Encoding: gzip",
        "Cookie: a=1; ",
        "X-Darktime-Z: 1",
    )
    (copy,) = CopyReader(max_head=1000, methods=("GET",)).feed(raw)
    out = request_bytes(copy, {"id"}, SECRET).decode()
    assert re.fullmatch(
        r"GET /p\?id=7&q=[0-9a-f]{16} HTTP/1\.1\r\nHost: h\r\nCookie: a=1\r\nX-Darktime: 1\r\n"
        r"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n\r\n",
        out,
    )


def test_query_values_are_masked_alike_within_a_run_and_otherwise_between_runs() -> None:
    assert masked("/p?a=1&b=1", (), SECRET).split("=")[1][:16] == masked("/p?b=1", (), SECRET).split("=")[1]
    assert masked("/p?a=1", (), SECRET) != masked("/p?a=1", (), "t" * 24)
    assert [masked(target, ("a",), SECRET) for target in ("/p", "/p?", "/p?a=1&b=&")] == ["/p", "/p?", "/p?a=1&b=&"]


def test_a_copy_whose_line_was_lost_is_named_and_forged_lines_change_nothing(
    make_split: Callable, origin: Callable
) -> None:
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address)
    with (
        socket.socket(socket.AF_UNIX) as nginx,
        socket.socket(socket.AF_UNIX) as stranger,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        nginx.settimeout(5)
        nginx.connect(str(split.settings.relay_socket))
        ids = [f"{number:032x}" for number in range(3)]
        nginx.sendall(b"".join(copy_bytes(one) for one in ids))
        answers = b""
        while answers.count(b"204 No Content\r\n\r\n") < 3:
            answers += nginx.recv(4096)
        stranger.connect(str(split.settings.relay_socket))
        stranger.settimeout(5)
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")
        assert stranger.recv(10) == b""
        udp.connect(("127.0.0.1", split.settings.log_port))
        for one in ids:
            udp.send(line(id=one, k="forged"))
        udp.send(line(id=ids[0], k=split.settings.secret))
        udp.send(line(id=ids[0], k=split.settings.secret))
        wait_until(lambda: split.state().get("log_lines") == 2, what="the lines")
        state = split.state()
        assert (state["log_refused"], state["strangers"], state["compared"], state["received"]) == (3, 1, 1, 3)
        # Sent twice by nginx: the second goes to nobody.
        nginx.sendall(copy_bytes(ids[1]) + copy_bytes("f" * 32, at=time.time() - 60))
        wait_until(lambda: split.state()["duplicates"] == 1 and split.state()["reasons"].get("expired") == 1)
    assert split.relay.stop() == 0
    state = json.loads(split.state_path.read_text())
    assert state["reasons"] == {"expired": 1, "in_flight": 2}
    assert sum(dark.asked.values()) == 3


def test_a_hung_dark_instance_fills_bounds_that_are_counted_and_the_relay_answers_on(
    make_split: Callable, origin: Callable
) -> None:
    dark = origin()
    dark.hang_s = 20
    split = make_split(dark.address)
    split.start_relay(dark.address)
    with socket.socket(socket.AF_UNIX) as nginx:
        nginx.settimeout(5)
        nginx.connect(str(split.settings.relay_socket))
        answers = b""
        for start in range(0, 2500, 100):
            nginx.sendall(b"".join(copy_bytes(f"{number:032x}") for number in range(start, start + 100)))
            while answers.count(b"\r\n\r\n") < start + 100:
                answers += nginx.recv(65536)
        wait_until(lambda: split.state().get("received") == 2500, what="all copies taken")
        assert split.state()["in_flight"] == 64
        wait_until(lambda: split.state()["reasons"].get("expired", 0) >= 1500, what="copies that waited too long")
        assert split.state()["reasons"]["relay_full"] == 2500 - 64 - 2000
    assert split.relay.stop() == 0


def test_the_exporter_tells_every_reason_and_no_id(make_split: Callable, origin: Callable) -> None:
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address, None, "--metrics", "0")
    address = wait_until(lambda: split.relay.line_after("metrics on "), what="the exporter's address")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    assert 'darktime_copies_total{outcome="shed_sink"} 0.0' in text
    for reason in reasons.ALL:
        assert f'darktime_copies_total{{outcome="{reason}"}} 0.0' in text
    assert "darktime_relay_streams 0.0" in text
    assert f"darktime_relay_log_room {split.state()['log_room']}.0" in text
    assert all(
        re.match(
            r"# |darktime_(copies_total\{outcome=\"[a-z_]+\"\}|endpoint_copies_total\{endpoint=\"other\",outcome=\"[a-z_]+\"\}"
            r"|relay_[a-z_]+) [0-9.]+$|process_[a-z_]+ [0-9.e+]+$",
            one,
        )
        for one in text.splitlines()
    )


def word(number: int) -> str:
    """One that no two numbers have; of letters alone, as a programmer would write it."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_the_exporter_tells_copies_by_endpoint_as_the_comparison_names_them_and_never_too_many(
    make_split: Callable, origin: Callable, tmp_path: Any
) -> None:
    (tmp_path / "openapi.yaml").write_text("openapi: 3.1.0\npaths:\n  /user/{name}: {}\n")
    dark = origin()
    split = make_split(dark.address)
    split.start_relay(dark.address, None, "--metrics", "0", "--endpoints", str(tmp_path / "openapi.yaml"))
    address = wait_until(lambda: split.relay.line_after("metrics on "), what="the exporter's address")
    users = [copy_bytes(f"{number:032x}", "GET", f"/user/ann{number}?x={number}") for number in range(3)]
    # Too old to go out: they leave for a reason, each at an endpoint of its own.
    many = [copy_bytes(f"{n:032x}", "GET", f"/{word(n)}", at=time.time() - 60) for n in range(100, 350)]
    with socket.socket(socket.AF_UNIX) as nginx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        nginx.connect(str(split.settings.relay_socket))
        udp.connect(("127.0.0.1", split.settings.log_port))
        nginx.sendall(b"".join(users + many))
        wait_until(lambda: split.state().get("received") == 253, what="all copies taken")
        for number, status in enumerate(("200", "200", "503")):
            udp.send(line(id=f"{number:032x}", k=split.settings.secret, status=status))
        wait_until(lambda: split.state()["compared"] == 3, what="pairs")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
            text = reply.read().decode()
    found = re.findall(r'darktime_endpoint_copies_total\{endpoint="([^"]*)",outcome="([a-z_]+)"\} ([0-9.]+)', text)
    copies = {(endpoint, outcome): float(count) for endpoint, outcome, count in found}
    mine = {outcome: count for (endpoint, outcome), count in copies.items() if endpoint == "/user/{name}"}
    assert mine == {"same": 2.0, "differs": 1.0, "not_compared": 0.0}
    assert "ann" not in text
    assert len({endpoint for endpoint, _ in copies}) == 201, "as many as are named, and the other"
    assert copies["other", "not_compared"] == 51.0
    assert sum(count for (_, outcome), count in copies.items() if outcome == "not_compared") == 250.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--dark": "ftp://x:1"}, "http://HOST:PORT"),
        ({"--dark": "http://127.0.0.1:1/path"}, "http://HOST:PORT"),
        ({"--dark": "http://no-such-host.invalid:1"}, "no address"),
        ({"--dark-connections": "0"}, "--dark-connections 0"),
        ({"--dark-cacert": "/none"}, "for https://"),
        ({"--dark": "http://x"}, "HOST:PORT"),
        ({"--secret-file": "/none"}, "No such file"),
    ],
)
def test_what_cannot_work_is_refused_with_exit_2(
    tmp_path: Any, capsys: Any, changes: dict[str, str], words: str
) -> None:
    from darktime.split.relay.__main__ import main

    (tmp_path / "secret").write_text("s")
    given_words = {
        "--socket": str(tmp_path / "s"), "--log-port": "0", "--dark": "http://127.0.0.1:1", "--state": str(tmp_path / "st"),
        "--secret-file": str(tmp_path / "secret"),
    }  # fmt: skip
    assert main([word for pair in {**given_words, **changes}.items() for word in pair]) == 2
    assert words in capsys.readouterr().err
