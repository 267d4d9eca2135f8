"""What is read in a quick way says the same as what is read exactly; what is read late says when it had come."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.dark_side import Instance
from darktime.split.log_format import _FIELDS, _USUAL_LINE, _read_exactly, read_line
from darktime.split.relay.backlog import Backlog
from darktime.split.relay.copies import (
    Copy,
    NotACopy,
    Passed,
    _read,
    asks_for_a_stream,
    masked,
    request_bytes,
)
from darktime.split.relay.copies import (
    _read_exactly as read_copy_exactly,
)
from darktime.split.relay.dial import Dialer
from darktime.split.relay.lately import Lately
from darktime.split.relay.later import LONGEST_S, Later
from darktime.split.relay.link import Link
from darktime.split.relay.pool import Pool
from darktime.split.relay.quick_reply import quick_reply
from darktime.split.relay.trace import traceparent
from darktime.wire.errors import WireError
from darktime.wire.http1 import ResponseReader
from darktime.wire.poller import IN, OUT, Poller
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.wire.http1 import Reply

SECRET = "s" * 24
USUAL = {
    "id": "0123456789abcdef" * 2, "at": "1764000000.123", "status": "200", "type": "text/html; charset=utf-8", "bytes": "1234",
    "took": "0.012", "head": "0.010", "up": "0.011", "done": "OK", "part": "b042", "census": "1", "len": "1000", "enc": "",
}  # fmt: skip
ODD = st.sampled_from(
    ["", "-", "1", "0.5", "499", "400", "0.001, 0.002", "gzip", "x", "9" * 20, "c999", "b1", "/\\u00e9", "é", "\x7f"]
)


def line(fields: dict[str, str], secret: str = SECRET) -> bytes:
    inner = ",".join(f'"{name}":"{fields[name]}"' for name, _ in _FIELDS)
    return f'<190>Nov 24 04:44:10 darktime: {{"v":1,"k":"{secret}",{inner}}}\n'.encode()


@given(changes=st.dictionaries(st.sampled_from(list(USUAL)), ODD | st.text(max_size=5), max_size=3))
@example(changes={})
def test_a_usual_line_says_what_it_says_as_json(changes: dict[str, str]) -> None:
    raw = line({**USUAL, **changes})
    assert read_line(raw, SECRET) == _read_exactly(raw, raw.find(b"{"), SECRET)


def test_nginx_s_own_lines_are_usual_ones_and_without_the_secret_they_are_none() -> None:
    raw = line(USUAL)
    assert _USUAL_LINE.fullmatch(raw, raw.find(b"{")) is not None
    assert read_line(raw, SECRET) is not None
    assert read_line(raw, "t" * 24) is None


HEAD = (
    "GET /a?b=1 HTTP/1.1\r\nHost: h\r\nX-Darktime: 1\r\nX-Darktime-Version: 1\r\n"
    "X-Darktime-Id: 0123456789abcdef0123456789abcdef\r\n"
    "X-Darktime-At: 1764000000.123\r\nX-Darktime-User: u1\r\n"
)
MORE = st.sampled_from([
    "Accept: text/event-stream", "Cookie: a=1; ", "Connection: close", "content-length: 5", "Content-Length: x",
    "X-Darktime-Stripped: 1",
    "X-Darktime-Body: too_big", "Upgrade: h2c", "Expect: 100-continue", "X-Odd:  two ", "X-Empty:", "no colon",
    "X-Bad name: 1", "X-é: \xa0v",
    "x-darktime-user: other", "TE: gzip", "Range: bytes=0-1\n", "X-Bare\r: 1", "Traceparent: 1", ": nameless",
])  # fmt: skip


@given(
    lines=st.lists(MORE, max_size=4), method=st.sampled_from(["GET", "POST", "get", "DELETE"]), cut=st.integers(0, 30)
)
def test_a_usual_copy_is_what_it_is_line_by_line(lines: list[str], method: str, cut: int) -> None:
    head = HEAD.replace("GET", method, 1)
    head = (head if cut else head.replace("X-Darktime-Version: 1\r\n", "")) + "".join(one + "\r\n" for one in lines)

    def either(*, quick: bool) -> tuple[Copy, int] | str:
        try:
            return _read(head, ("GET", "POST")) if quick else read_copy_exactly(head[:-2], ("GET", "POST"))
        except NotACopy as error:
            return str(error)

    quick, exact = either(quick=True), either(quick=False)
    assert quick == exact
    if not isinstance(quick, str) and not isinstance(exact, str):
        assert asks_for_a_stream(quick[0].headers) == asks_for_a_stream(exact[0].headers)
        ours, theirs = (
            request_bytes(one, frozenset(), SECRET).split(b"traceparent")[0] for one in (quick[0], exact[0])
        )
        assert ours == theirs


def test_headers_that_somebody_has_changed_go_out_as_they_are_now() -> None:
    passed = Passed.of([("Accept", STREAM_TYPE), ("Host", "h")])
    assert passed.streams
    changed = (("Host", "other"),)
    copy = Copy(id="i", at=1.0, user="u", method="GET", target="/", headers=changed, stripped=False, unfit=None)
    assert request_bytes(copy, frozenset(), SECRET).startswith(b"GET / HTTP/1.1\r\nHost: other\r\nX-Darktime: 1\r\n")


@given(st.text(alphabet="ab=&?%1", max_size=20))
def test_a_remembered_query_is_masked_as_any_other(query: str) -> None:
    for _ in range(2):
        assert masked("/p?" + query, frozenset({"a"}), SECRET) == masked("/p?" + query, ["a"], SECRET)


def test_no_two_traces_are_alike() -> None:
    assert len({traceparent() for _ in range(2_000)}) == 2_000


REPLIES = st.sampled_from([
    b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; x=1\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: x\n\n",
    b"HTTP/1.0 200 OK\r\n\r\nok", b"rubbish\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nX: y\r\n\r\nhello", b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\n\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
    b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", b"\r\n\r\n",
])  # fmt: skip


@given(reply=REPLIES, more=st.sampled_from([b"", b"x", b"HTTP/1.1 200 OK\r\n\r\n"]))
def test_a_quick_reply_is_what_the_reader_makes_of_it(reply: bytes, more: bytes) -> None:
    found = quick_reply(reply + more)
    if found is None:
        return
    read: list[Reply] = ResponseReader(max_body=0).feed(reply + more)
    (one,) = read
    assert one.keep_alive
    assert found == (one.status, Link.content_type(one.headers), one.length)
    assert found[1] != STREAM_TYPE


def test_the_common_replies_are_quick_ones() -> None:
    assert quick_reply(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; x=1\r\nContent-Length: 2\r\n\r\nok") == (
        200,
        "text/plain",
        2,
    )
    assert quick_reply(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, "", 0)


def test_a_head_whose_line_ends_are_of_two_kinds_is_read_exactly() -> None:
    assert quick_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nX: y\r\n\r\nhello") is None


@pytest.mark.parametrize("more", [b"HTT", b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nbeg"], ids=["head", "body"])
def test_a_connection_on_which_another_reply_has_begun_is_not_kept(own_relay: Callable, more: bytes) -> None:
    """Nobody asked for it; to the next copy it would be read as its answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = own_relay(f"127.0.0.1:{server.getsockname()[1]}", idle_s=30.0)
        server.settimeout(5)
        relay.copy(1, "/a")
        peer, _ = server.accept()
        with peer:
            peer.settimeout(5)
            assert peer.recv(65_536).startswith(b"GET /a ")
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + more)
            assert peer.recv(1) == b"", "it was closed"
        relay.line(1)
        wait_until(lambda: relay.state["compared"] == 1, what="the pair")


@given(st.lists(st.integers(0, 30), max_size=200))
def test_of_late_names_the_last_are_known_and_there_are_never_more_than_twice_as_many(names: list[int]) -> None:
    lately = Lately(5)
    for at, name in enumerate(names):
        lately.add(str(name))
        assert all(str(one) in lately for one in names[max(0, at - 4) : at + 1])
    assert sum(str(name) in lately for name in range(31)) <= 10


def test_what_waits_has_a_bound_in_copies_and_in_bytes_that_counts_what_is_being_sent() -> None:
    backlog = Backlog(copies=2, size=10)
    copy = Copy(id="i", at=1.0, user="u", method="GET", target="/", headers=(), stripped=False, unfit=None)
    backlog.put(copy, b"12345", 1.0)
    backlog.held += 4
    assert not backlog.fits(b"12")
    backlog.held -= 4
    backlog.put(copy, b"12", 2.0)
    assert not backlog.fits(b"")
    assert (backlog.since(), backlog.next()[1], backlog.held, len(backlog)) == (1.0, b"12345", 2, 1)
    backlog.clear()
    assert backlog.held == 0


def test_where_much_lies_to_be_read_it_wakes_nobody_until_it_is_due_and_where_little_does_at_once() -> None:
    with Poller(cooperative=False, coarse=True) as prompt:
        here, there = socket.socketpair()
        with closing(here), closing(there):
            later = Later(prompt)
            later.poller.register(here.fileno(), IN)
            later.weigh(0.0)
            there.send(b"x")
            assert prompt.poll(1.0) == [(later.fd, IN)]
            assert later.wait_s(0.05) == 0.05
            for _ in range(20):
                assert list(later.look(0.01)) == [(here.fileno(), IN)]
            later.weigh(0.05)
            assert prompt.poll(0.0) == []
            assert later.wait_s(0.05) <= LONGEST_S
            assert not later.due(0.0101)
            assert later.due(0.01 + LONGEST_S)
            later.hurry()
            assert prompt.poll(0.0) == [(later.fd, IN)]
            later.weigh(0.1)
            assert later.wait_s(0.05) == 0.05
            later.close()


def test_a_reply_that_is_read_late_took_no_longer_than_until_it_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Poller(cooperative=False, coarse=True) as prompt:
        later = Later(prompt)
        dialer = Dialer(Instance(host="127.0.0.1", port=server.getsockname()[1]), None)
        pool = Pool(dialer, prompt, later, connections=4, idle_s=1.0)
        link = pool.connect()
        wait_until(lambda: (link.fd, OUT) in prompt.poll(0.1), what="the connection")
        assert pool.ready_to_send(link)
        pool.watch(link, IN)
        peer, _ = server.accept()
        with peer:
            wait_until(lambda: _stamped_once(pool, link, peer), what="the kernel's first stamp")
            assert not link.later, "the rest of this reply would wait, piece by piece"
            peer.send(b"more of it")
            assert prompt.poll(1.0) == [(link.fd, IN)]
            wait_until(lambda: pool.receive(link).endswith(b"more of it"), what="the rest of it")
            pool.rest(link, time.monotonic())
            assert link.later
            assert pool.kept() is link
            assert prompt.poll(0.0) == []
            sent = time.monotonic()
            peer.send(b"second")
            wait_until(lambda: time.monotonic() - sent > 0.05, what="a while in which nobody reads")
            assert pool.receive(link) == b"second"
            assert 0.04 <= link.lag_s < time.monotonic() - sent + 0.01
        assert pool.close(link)
        assert not pool.close(link)
        later.close()


def _stamped_once(pool: Pool, link: Link, peer: socket.socket) -> bool:
    """The kernel begins to stamp a moment after it was asked to."""
    peer.send(b"first")
    try:
        pool.receive(link)
    except BlockingIOError:
        return False
    return link.tells


def test_a_link_of_no_stamps_wakes_the_relay_by_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Poller(cooperative=False, coarse=True) as prompt:
        dialer = Dialer(Instance(host="127.0.0.1", port=server.getsockname()[1]), None)
        pool = Pool(dialer, prompt, None, connections=4, idle_s=1.0)
        link = pool.connect()
        wait_until(lambda: (link.fd, OUT) in prompt.poll(0.1), what="the connection")
        pool.watch(link, IN)
        peer, _ = server.accept()
        with peer:
            peer.send(b"reply")
            assert prompt.poll(1.0) == [(link.fd, IN)]
            assert (pool.receive(link), link.lag_s, link.later) == (b"reply", 0.0, False)
        pool.close(link)


@pytest.mark.parametrize("cuts", [(1, 2), (10, 300), (3, 600)], ids=["at once", "early", "late"])
def test_a_copy_that_comes_in_pieces_is_read_as_one_that_does_not(cuts: tuple[int, int]) -> None:
    from darktime.split.relay.copies import CopyReader

    raw = (HEAD + "Accept: */*\r\n\r\n").encode()
    reader = CopyReader(max_head=1_000, methods=("GET",))
    edges = [0, *(min(cut, len(raw)) for cut in cuts), len(raw)]
    found = [copy for start, end in pairwise(edges) for copy in reader.feed(raw[start:end])]
    assert found == reader.feed(raw)


def test_no_reply_makes_the_quick_way_raise() -> None:
    for raw in (b"", b"\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", bytes(100) + b"\r\n\r\n"):
        try:
            assert quick_reply(raw) is None
        except WireError:
            pytest.fail(f"{raw!r} raised")
