"""Bodies go with their copies, bounded and once; production's uploads are not touched, nor held up where nothing is copied."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.log_format import read_line
from darktime.split.nginx_blocks import _above
from darktime.split.relay.copies import CopyReader, Room
from tests.darktime.split.conftest import CANDIDATE, binaries, workers
from tests.darktime.split.takers import Taker
from tests.darktime.split.test_relay_ears import copy_bytes
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.darktime.split.servers import Client

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
LIMIT = 1_000_000


def chunked(body: bytes, size: int = 9_000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def upload(
    client: Client, target: str, body: bytes, *lines: str, method: str = "POST", in_chunks: bool = False
) -> bytes:
    """Send a request with a body; the reply's head."""
    length = "Transfer-Encoding: chunked" if in_chunks else f"Content-Length: {len(body)}"
    client.send(target, length, *lines, method=method)
    client.sock.sendall(chunked(body) if in_chunks else body)
    return client.reply()[0]


@pytest.mark.parametrize("nginx", binaries().values(), ids=binaries().keys())
def test_a_body_goes_with_its_copy_and_production_has_every_byte_once(make_split: Callable, nginx: Path) -> None:
    bodies = {"/form": b"a=1&b=2", "/small": b"x", "/none": b"", "/big": os.urandom(900_000), "/edge": bytes(LIMIT)}
    over = {"/over": bytes(LIMIT + 1)}
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS, max_body=LIMIT)
        split.start_relay(dark.address)
        split.start(nginx=nginx)
        with split.client() as client:
            for in_chunks in (False, True):
                for target, body in (bodies | over).items():
                    head = upload(client, target, body, CANDIDATE, "Content-Type: x/y", in_chunks=in_chunks)
                    assert b" 200 " in head
            upload(client, "/put", b"put", CANDIDATE, "Content-Encoding: x", "X-Darktime-Body: too_big", method="PUT")
            client.get("/gone", CANDIDATE, method="DELETE")
            client.get("/page", CANDIDATE)
            upload(client, "/got", b"with a body", CANDIDATE, method="GET")
            upload(client, "/form", b"of nobody", "X-Nobody: 1")
        count = 2 * len(bodies) + 4
        wait_until(lambda: split.state().get("compared") == count, what=f"{count} pairs")
        wait_until(lambda: split.state()["reasons"] == {"too_big": 2}, what="both that were too big")
        wait_until(lambda: len(dark.taken) == count, what="what the dark instance was asked")
    sent = {target: hashlib.sha256(body).digest() for target, body in (bodies | over).items()}
    for target, digest in sent.items():
        asked = [one for one in production.taken if one.target == target and one.body != b"of nobody"]
        assert [hashlib.sha256(one.body).digest() for one in asked] == [digest] * 2, target
        copied = [one for one in dark.taken if one.target == target]
        assert [hashlib.sha256(one.body).digest() for one in copied] == ([digest] * 2 if target in bodies else []), (
            target
        )
        for one in copied:
            assert one.headers["content-length"] == str(len(bodies[target])), "a server must know where it ends"
            assert one.headers.get("content-type") == ("x/y" if bodies[target] else None)
            assert "transfer-encoding" not in one.headers
    assert len(production.taken) == 2 * len(sent) + 5
    assert not any(name.startswith("x-darktime") for one in production.taken for name in one.headers)
    (put,) = (one for one in dark.taken if one.method == "PUT")
    assert (put.body, put.headers["content-encoding"], put.headers["x-darktime"]) == (b"put", "x", "1")
    assert next(one for one in dark.taken if one.target == "/got").body == b"", "of a GET none is copied"


def test_who_is_not_in_and_whose_upload_is_too_big_is_streamed_to_production_while_it_comes(
    make_split: Callable,
) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS, max_body=5)
        split.start_relay(dark.address)
        split.start()
        for number, (cookie, length) in enumerate(
            (("X-Nobody: 1", "chunked"), ("X-Nobody: 1", "20"), (CANDIDATE, "20"), (CANDIDATE, "0000020"))
        ):
            in_chunks = length == "chunked"
            with split.client() as client:
                name = "Transfer-Encoding" if in_chunks else "Content-Length"
                client.send("/upload", f"{name}: {length}", cookie, method="POST")
                client.sock.sendall(chunked(b"first half")[:-5] if in_chunks else b"first half")
                wait_until(
                    lambda number=number: (
                        len(production.taken) > number and production.taken[number].body == b"first half"
                    ),
                    what=f"the first half of upload {number} at production",
                )
                client.sock.sendall(chunked(b"the second") if in_chunks else b"the second")
                assert b" 200 " in client.reply()[0]
                assert production.taken[number].body == b"first halfthe second"
        wait_until(lambda: split.state().get("reasons") == {"too_big": 2}, what="too_big")
        assert dark.taken == []


@pytest.mark.parametrize("in_chunks", [pytest.param(False, marks=pytest.mark.long), True])
def test_an_upload_of_a_hundred_megabytes_is_byte_identical_and_neither_nginx_nor_relay_grows(
    make_split: Callable, *, in_chunks: bool
) -> None:
    piece = os.urandom(1 << 20)
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS)
        split.start_relay(dark.address)
        split.start()
        pids = [split.relay.pid, *workers(split.nginx.pid)]
        before = [peak_kib(pid) for pid in pids]
        with split.client() as client:
            length = "Transfer-Encoding: chunked" if in_chunks else f"Content-Length: {100 << 20}"
            client.send("/upload", length, CANDIDATE, method="POST")
            for _ in range(100):
                client.sock.sendall(b"100000\r\n%b\r\n" % piece if in_chunks else piece)
            client.sock.sendall(b"0\r\n\r\n" if in_chunks else b"")
            assert b" 200 " in client.reply()[0]
        wait_until(lambda: split.state().get("reasons") == {"too_big": 1}, what="too_big")
        assert max(peak_kib(pid) - kib for pid, kib in zip(pids, before, strict=True)) < 8_192
        (one,) = production.taken
        assert hashlib.sha256(one.body).digest() == hashlib.sha256(piece * 100).digest()


def peak_kib(pid: int) -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def test_a_client_that_leaves_within_its_body_is_named_and_leaves_nothing_behind(make_split: Callable) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS)
        split.start_relay(dark.address)
        split.start()
        for number in range(20):
            with split.client() as client:
                length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 1000"
                client.send("/upload", length, CANDIDATE, method="POST")
                client.sock.sendall(b"5\r\nhello\r\n")
        wait_until(lambda: split.state().get("offered") == 20, what="the lines of all")
        wait_until(lambda: split.state()["mirror_reasons"] == {"client_abort": 20}, what="their reason")
        assert split.state()["waiting"] == 0
        with split.client() as client:
            upload(client, "/whole", b"whole", CANDIDATE)
        wait_until(lambda: [one.target for one in dark.taken] == ["/whole"], what="the next")
        assert [one.target for one in production.taken] == ["/whole"]


def test_what_changes_something_is_sent_to_the_dark_instance_once_and_never_again(make_split: Callable) -> None:
    with Taker() as production, Taker(hangs_up=True) as dark:
        split = make_split(production.address, methods=METHODS)
        split.start_relay(dark.address)
        split.start()
        with split.client() as client:
            for number in range(2):
                upload(client, f"/{number}", b"x", CANDIDATE)
                wait_until(lambda number=number: split.state().get("reasons") == {"dark_reset": number + 1})
        assert [one.target for one in dark.taken] == ["/0", "/1"]


def test_a_copy_with_a_body_that_the_relay_does_not_answer_is_counted_by_the_sink(make_split: Callable) -> None:
    with Taker() as production, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
        split = make_split(production.address, methods=METHODS)
        lines.bind(("127.0.0.1", split.settings.log_port))
        lines.settimeout(5)
        with Taker(split.settings.relay_socket, answers=False) as relay:
            split.start()
            with split.client() as client:
                upload(client, "/upload", b"hello", CANDIDATE)
            told = [read_line(lines.recv(65536), split.settings.secret) for _ in range(2)]
            assert {one.sink for one in told if one} == {True, False}
            assert len({one.id for one in told if one}) == 1
            assert relay.taken[0].body == b"hello"


def test_a_dark_instance_that_does_not_read_holds_what_is_bounded_and_one_that_answers_early_is_heard(
    make_split: Callable,
) -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    with Taker() as production, socket.create_server(("127.0.0.1", 0)) as dark:
        dark.settimeout(5)
        split = make_split(production.address, methods=METHODS, max_body=12_000_000, mirror_timeout_ms=5000)
        split.start_relay("{}:{}".format(*dark.getsockname()))
        split.start()
        with split.client() as client:
            upload(client, "/0", bytes(12_000_000), CANDIDATE)
            link, _ = dark.accept()
            with link:
                for number in range(1, 4):
                    upload(client, f"/{number}", bytes(12_000_000), CANDIDATE)
                wait_until(lambda: split.state().get("reasons") == {"relay_full": 2}, what="33 MB and no more are held")
                link.recv(1000)
                link.sendall(early)
                wait_until(lambda: split.state()["compared"] == 1, what="the early answer")
                assert split.pairs()[0]["dark"]["status"] == 413


@given(cuts=st.lists(st.integers(0, 1500), max_size=6), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_bodies_are_read_whole_however_they_are_cut_and_their_room_is_given_back(
    cuts: list[int], sizes: list[int]
) -> None:
    room = Room(250)
    reader = CopyReader(max_head=1000, methods=("POST",), max_body=200, room=room)
    raw = b""
    for number, size in enumerate(sizes):
        raw += (
            copy_bytes(f"{number:032x}", "POST", f"/{number}", f"Content-Length: {size}") + bytes([65 + number]) * size
        )
    edges = sorted({0, *(min(cut, len(raw)) for cut in cuts), len(raw)})
    found = [copy for start, end in itertools.pairwise(edges) for copy in reader.feed(raw[start:end])]
    assert [copy.target for copy in found] == [f"/{number}" for number in range(len(sizes))]
    for number, (copy, size) in enumerate(zip(found, sizes, strict=True)):
        assert (copy.body, copy.unfit) == ((bytes([65 + number]) * size, None) if size <= 200 else (b"", "too_big"))
    assert room.left == 250


def test_bodies_that_come_at_once_share_one_room_and_a_connection_that_ends_gives_its_part_back() -> None:
    room = Room(150)
    first, second = (CopyReader(max_head=1000, methods=("POST",), max_body=100, room=room) for _ in range(2))
    head = copy_bytes("0" * 32, "POST", "/", "Content-Length: 100")
    assert first.feed(head + bytes(60)) == []
    (full,) = second.feed(head + bytes(100))
    assert (full.unfit, full.body) == ("relay_full", b"")
    first.close()
    first.close()
    assert room.left == 150
    (whole,) = second.feed(head + bytes(100))
    assert (whole.unfit, len(whole.body)) == (None, 100)


@given(limit=st.integers(1, 10**8), number=st.integers(0, 10**9), near=st.integers(-1, 1))
def test_nginx_s_expression_of_a_limit_is_the_limit(limit: int, number: int, near: int) -> None:
    for one in (number, limit + near):
        assert bool(re.fullmatch(_above(limit), str(one))) == (one > limit)


def test_the_end_of_an_upload_is_the_client_s_own_only_where_production_was_not_asked() -> None:
    secret = "s" * 24
    for status, asked, aborted in ((400, "-", True), (408, "", True), (400, "0.010", False), (502, "-", False)):
        raw = f'{{"v":1,"k":"{secret}","id":"{"0" * 32}","at":"{time.time():.3f}","status":"{status}","up":"{asked}"}}'
        found = read_line(raw.encode(), secret)
        assert found is not None
        assert found.aborted is aborted


@pytest.mark.long
def test_ten_thousand_uploads_that_are_left_off_leave_nothing_behind(make_split: Callable) -> None:
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS)
        split.start_relay(dark.address)
        split.start()
        pids = [split.relay.pid, *workers(split.nginx.pid)]

        def leave(count: int) -> None:
            for number in range(count):
                with split.client() as client:
                    length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 60000"
                    client.send("/upload", length, CANDIDATE, method="POST")
                    client.sock.sendall(b"4000\r\n" + bytes(20_000))

        leave(500)
        before = [(peak_kib(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))) for pid in pids]
        leave(10_000)
        wait_until(lambda: split.state().get("waiting") == 0, timeout_s=30, what="the end of all")
        for pid, (kib, files) in zip(pids, before, strict=True):
            # What has left is remembered so that a late line is not counted again, up to a bound.
            assert peak_kib(pid) - kib < 16_384
            assert len(list(Path(f"/proc/{pid}/fd").iterdir())) <= files + 16
        state = split.state()
        assert state["mirror_reasons"].get("client_abort", 0) == state["offered"] > 10_000
        assert production.taken == dark.taken == []


@pytest.mark.long
def test_a_slow_chunked_upload_of_five_megabytes_is_copied_whole_with_its_length(make_split: Callable) -> None:
    body = os.urandom(5_000_000)
    with Taker() as production, Taker() as dark:
        split = make_split(production.address, methods=METHODS, max_body=8_000_000)
        split.start_relay(dark.address)
        split.start()
        with split.client() as client:
            client.send("/upload", "Transfer-Encoding: chunked", CANDIDATE, method="POST")
            raw = chunked(body, 50_000)
            for at in range(0, len(raw), 50_000):
                client.sock.sendall(raw[at : at + 50_000])
                time.sleep(0.1)  # the client's own pace
            assert b" 200 " in client.reply()[0]
        wait_until(lambda: split.state().get("compared") == 1, what="the pair")
        for one in (production.taken[0], dark.taken[0]):
            assert hashlib.sha256(one.body).digest() == hashlib.sha256(body).digest()
        assert dark.taken[0].headers["content-length"] == "5000000"
