"""The request reader: same requests however the bytes arrive, nothing ambiguous accepted, h11 as the other opinion."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.push.request import Refusal, Request, RequestReader

MAX_HEAD = 400
MAX_BODY = 300


def read(pieces: list[bytes]) -> list[Request | Refusal]:
    reader = RequestReader(MAX_HEAD, MAX_BODY)
    found: list[Request | Refusal] = []
    for piece in pieces:
        reader.feed(piece)
        while (one := reader.next_request()) is not None:
            found.append(one)
    return found


def one(request: bytes) -> Request | Refusal:
    (found,) = read([request])
    return found


def post(body: bytes, *, minor: int = 1, extra: bytes = b"") -> bytes:
    head = b"POST /pub?id=ch HTTP/1.%d\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n" % (minor, len(body), extra)
    return head + body


NAMES = st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20).filter(
    lambda text: not any(0x7F <= ord(letter) < 0xA0 for letter in text)
)
TARGETS = st.from_regex(r"/[!-~]{0,30}", fullmatch=True)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "x-OWN"]))
    lines = [f"{method} {draw(TARGETS)} HTTP/1.{draw(st.integers(0, 1))}", "Host: h"]
    for name in draw(st.lists(NAMES, max_size=4)):
        if name.lower() not in {"host", "content-length", "transfer-encoding", "expect"}:
            lines += [name + ":" + draw(st.sampled_from(["", " ", "\t "])) + draw(VALUES)]
    body = draw(st.binary(max_size=40))
    if body:
        lines.append(f"Content-Length: {len(body)}")
    empty = b"\r\n" if draw(st.booleans()) else b""
    return empty + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


ODD = st.one_of(
    requests(),
    st.sampled_from(
        [
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            post(b"x", extra=b"Transfer-Encoding: chunked\r\n"),
            post(b"x", extra=b"Content-Length: 1\r\n"),
            b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 500 + b"\r\n\r\n",
        ]
    ),
    st.binary(max_size=30),
    st.text("GET /\r\n:aHTTP1.", max_size=40).map(str.encode),
)


@given(st.lists(ODD, min_size=1, max_size=4), st.data())
def test_bytes_in_pieces_give_the_same_requests_as_in_one(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = read([stream])
    assert read(pieces) == whole
    assert read([stream[at : at + 1] for at in range(len(stream))]) == whole


def test_two_requests_are_the_same_at_every_single_cut() -> None:
    stream = b"\r\n" + post(b"hello", extra=b"Event-Id: 7\r\n") + post(b"\r\n\r\n", minor=0)
    whole = read([stream])
    assert [type(found) for found in whole] == [Request, Request]
    for cut in range(len(stream) + 1):
        assert read([stream[:cut], stream[cut:]]) == whole


@given(ODD)
def test_what_is_accepted_h11_reads_alike(message: bytes) -> None:
    (found, *_) = read([message]) or [None]
    if not isinstance(found, Request):
        return
    other = h11.Connection(h11.SERVER)
    # h11 does not skip the empty line that old clients send before a request.
    other.receive_data(message.removeprefix(b"\r\n"))
    head = other.next_event()
    assert isinstance(head, h11.Request)
    assert (head.method.decode(), head.target.decode()) == (found.method, found.target)
    assert head.http_version == (b"1.1" if found.modern else b"1.0")
    values: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        values.setdefault(name, []).append(value)
    assert {name: b", ".join(several) for name, several in values.items()} == found.headers
    body = b""
    while isinstance(event := other.next_event(), h11.Data):
        body += event.data
    assert body == found.body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\nEvent-Id: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\rEvent-Id: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nEvent-Id: 1\0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * MAX_HEAD, 431),
        (b"GET /" + b"y" * 100_000, 431),
        (post(b"x", extra=b"Transfer-Encoding: chunked\r\n"), 400),
        (post(b"x", extra=b"Transfer-Encoding: identity\r\n"), 400),
        (post(b"x", extra=b"Content-Length: 1\r\n"), 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10737418240\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 301\r\n\r\n", 413),
    ],
)
def test_what_could_be_understood_in_two_ways_or_is_too_long_is_refused(request_bytes: bytes, status: int) -> None:
    found = one(request_bytes)
    assert isinstance(found, Refusal)
    assert found.status == status
    assert found.explain


def test_nothing_follows_a_refusal() -> None:
    smuggled = post(b"x", extra=b"Content-Length: 1\r\n") + post(b"second")
    assert [type(found) for found in read([post(b"first"), smuggled, post(b"third")])] == [Request, Refusal]


def test_a_body_of_the_longest_length_is_taken() -> None:
    found = one(post(b"y" * MAX_BODY))
    assert isinstance(found, Request)
    assert len(found.body) == MAX_BODY


@pytest.mark.parametrize(
    ("minor", "connection", "kept"),
    [
        (1, b"", True),
        (1, b"Connection: Close\r\n", False),
        (1, b"Connection: x, close\r\n", False),
        (0, b"", False),
        (0, b"Connection: Keep-Alive\r\n", True),
        (0, b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_keeping_a_connection_follows_the_version_and_the_header(minor: int, connection: bytes, *, kept: bool) -> None:
    found = one(post(b"x", minor=minor, extra=connection))
    assert isinstance(found, Request)
    assert found.keep_alive is kept


def test_a_client_that_waits_to_be_told_to_continue_is_noticed_once() -> None:
    reader = RequestReader(MAX_HEAD, MAX_BODY)
    whole = post(b"hello", extra=b"Expect: 100-continue\r\n")
    reader.feed(whole[:-5])
    assert reader.next_request() is None
    assert reader.continue_wanted
    reader.continue_wanted = False
    reader.feed(whole[-5:-1])
    assert reader.next_request() is None
    assert not reader.continue_wanted
    reader.feed(whole[-1:])
    assert isinstance(reader.next_request(), Request)
