"""The reply reader against h11 and httptools, at every split point; hostile peers cost their limits."""

from __future__ import annotations

import itertools

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.wire.errors import WireError
from darktime.wire.head import parse_head
from darktime.wire.http1 import Reply, ResponseReader

OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "1"\r\n\r\n'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def feed(wire: bytes, *cuts: int, methods: tuple[bytes, ...] = (), **limits: int) -> list[Reply]:
    reader = ResponseReader(**limits)
    for method in methods:
        reader.expect(method)
    places = [0, *cuts, len(wire)]
    return [reply for start, stop in itertools.pairwise(places) for reply in reader.feed(wire[start:stop])]


def test_pipelined_replies_of_every_framing_are_told_apart_at_every_split_point() -> None:
    wire = OK + CHUNKED + EMPTY + CONTINUE + OK + NOT_MODIFIED + OK
    whole = feed(wire)
    assert [(reply.status, reply.body, reply.keep_alive) for reply in whole] == [
        (200, b"hello", True),
        (200, b"hello", True),
        (204, b"", True),
        (200, b"hello", True),
        (304, b"", True),
        (200, b"hello", True),
    ]
    for cut in range(len(wire) + 1):
        assert feed(wire, cut) == whole
    assert feed(wire, *range(1, len(wire))) == whole


def test_the_reply_to_head_has_no_body_whatever_it_announces() -> None:
    replies = feed(OK[:-5] + OK, methods=(b"HEAD", b"GET"))
    assert [(reply.length, reply.body) for reply in replies] == [(0, b""), (5, b"hello")]


def test_a_reply_without_a_length_ends_with_the_connection() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhel") == []
    assert reader.head is not None
    assert reader.head.until_close
    assert reader.feed(b"lo") == []
    assert reader.eof() == Reply(200, (), 5, b"hello", keep_alive=False)
    assert reader.eof() is None


@pytest.mark.parametrize("cut", [1, 30, len(OK) - 1])
def test_a_connection_that_ends_within_a_reply_is_an_error(cut: int) -> None:
    reader = ResponseReader()
    assert reader.feed(OK[:cut]) == []
    with pytest.raises(WireError, match="the connection ended"):
        reader.eof()


def test_a_connection_that_ends_between_replies_is_none() -> None:
    reader = ResponseReader()
    assert len(reader.feed(OK)) == 1
    assert reader.eof() is None


def test_bodies_beyond_the_limit_are_counted_and_not_kept() -> None:
    for wire in (OK, CHUNKED):
        for cut in range(len(wire)):
            (reply,) = feed(wire, cut, max_body=2)
            assert (reply.length, reply.body) == (5, b"he")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 14_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 14_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\nmore",
    ],
)
def test_what_is_no_reply_raises_and_names_what_was_read(wire: bytes) -> None:
    with pytest.raises(WireError, match=r"read|more than|bytes"):
        feed(wire)
    reader = ResponseReader()
    with pytest.raises(WireError):
        [reader.feed(bytes([byte])) for byte in wire]


def by_h11(wire: bytes) -> list[tuple[int, tuple[tuple[bytes, bytes], ...], bytes, bool]] | None:
    """The replies as h11 reads them, or None where it refuses."""
    replies = []
    rest = wire
    while rest:
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(rest)
        status, headers, body = 0, (), b""
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                    return replies
                if isinstance(event, h11.Response):
                    status, headers = event.status_code, tuple((bytes(n), bytes(v)) for n, v in event.headers)
                if isinstance(event, h11.Data):
                    body += bytes(event.data)
                if isinstance(event, h11.EndOfMessage):
                    break
        except h11.RemoteProtocolError:
            return None
        keep_alive = connection.their_state is h11.DONE
        replies.append((status, headers, body, keep_alive))
        rest = connection.trailing_data[0]
        if not keep_alive:
            return replies if not rest else None
    return replies


class ByHttptools:
    """The replies as llhttp reads them."""

    def __init__(self, wire: bytes) -> None:
        self.replies: list[tuple[int, bytes]] = []
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(wire)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.replies.append((status, self._body))
        self._body = b""


names = st.sampled_from([b"Server", b"X-A", b"content-TYPE", b"Date", b"Connection", b"Set-Cookie"])
values = st.sampled_from([b"x", b"", b"a b", b"keep-alive", b"\xe9", b"  y\t"])
extra = st.lists(st.tuples(names, values), max_size=4)
bodies = st.binary(max_size=40)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """One well-formed reply that ends by its own framing."""
    lines = b"".join(b"%s: %s\r\n" % pair for pair in draw(extra))
    status = draw(st.sampled_from([200, 204, 304, 404, 503]))
    body = draw(bodies)
    reason = draw(st.sampled_from([b" OK", b" ", b" Not at all"]))
    if status in (204, 304):
        return b"HTTP/1.1 %d%s\r\n%s\r\n" % (status, reason, lines)
    if draw(st.booleans()):
        size = draw(st.integers(1, 9))
        frames = [body[at : at + size] for at in range(0, len(body), size)]
        coded = b"".join(b"%X\r\n%s\r\n" % (len(frame), frame) for frame in frames) + b"0\r\n\r\n"
        return b"HTTP/1.1 %d%s\r\n%sTransfer-Encoding: chunked\r\n\r\n%s" % (status, reason, lines, coded)
    return b"HTTP/1.1 %d%s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, reason, lines, len(body), body)


@given(wires=st.lists(replies(), min_size=1, max_size=4), cuts=st.lists(st.integers(0, 600), max_size=6))
def test_well_formed_replies_read_as_h11_and_llhttp_read_them(wires: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(wires)
    ours = feed(wire, *sorted({min(cut, len(wire)) for cut in cuts}))
    assert [(reply.status, reply.headers, reply.body, reply.keep_alive) for reply in ours] == by_h11(wire)
    assert [(reply.status, reply.body) for reply in ours] == ByHttptools(wire).replies


mutations = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from([b"", b"\r", b"\n", b" ", b":", b"\0", b"0", b"\xff"])), max_size=3
)


@given(wire=replies(), mutations=mutations, cut=st.integers(0, 300))
def test_damaged_replies_are_never_read_as_something_h11_does_not_see(
    wire: bytes, mutations: list[tuple[int, bytes]], cut: int
) -> None:
    for place, junk in mutations:
        wire = wire[:place] + junk + wire[place + 1 :]
    theirs = by_h11(wire)
    try:
        ours = feed(wire, min(cut, len(wire)))
    except WireError:
        return
    if theirs is not None:
        assert [(reply.status, reply.headers, reply.body, reply.keep_alive) for reply in ours] == theirs


@given(wire=replies())
def test_the_fast_path_and_the_exact_one_read_the_same_head(wire: bytes) -> None:
    raw = wire[: wire.index(b"\r\n\r\n") + 4]
    padded = raw[:-2] + b"X-Pad: " + b"p" * 5000 + b"\r\n\r\n"  # too long to be remembered: takes the exact path
    fast, exact = parse_head(raw), parse_head(padded)
    assert fast is not None
    assert exact is not None
    assert (fast.status, fast.headers, fast.length, fast.chunked, fast.keep_alive) == (
        exact.status, exact.headers[:-1], exact.length, exact.chunked, exact.keep_alive,
    )  # fmt: skip
