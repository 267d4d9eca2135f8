"""The reader of replies against h11, and on what no server should say."""

from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.publish.replies import MAX_BODY_BYTES, MAX_HEAD_BYTES, ReplyError, ReplyReader

SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
TRAILER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-End: 1\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nX-Nginx-PushStream-Explain: no\r\nContent-Length: 0\r\n\r\n"
PARTS = [SIZED, CHUNKED, TRAILER, EMPTY, REFUSED]


def by_h11(stream: bytes, count: int) -> list[tuple[int, bytes]]:
    found = []
    link = h11.Connection(h11.CLIENT)
    link.receive_data(stream)
    for _ in range(count):
        link.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "0")]))
        link.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := link.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        found.append((status, body))
        link.start_next_cycle()
    return found


@settings(deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_however_the_stream_is_cut_the_replies_are_those_an_independent_reader_finds(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    reader, replies, at = ReplyReader(), [], 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        replies += reader.feed(stream[at : at + step])
        at += step
    assert [(reply.status, reply.body) for reply in replies] == by_h11(stream, len(parts))
    assert reader.idle


def test_an_interim_reply_is_passed_over_and_the_explanation_is_kept() -> None:
    [reply] = ReplyReader().feed(b"HTTP/1.1 100 Continue\r\n\r\n" + REFUSED)
    assert (reply.status, reply.explain, reply.keep_alive) == (403, "no", True)


def test_a_body_without_a_length_ends_with_the_connection_and_a_cut_one_is_none() -> None:
    reader = ReplyReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nall of it") == []
    reply = reader.eof()
    assert reply is not None
    assert (reply.body, reply.keep_alive) == (b"all of it", False)
    cut = ReplyReader()
    assert cut.feed(SIZED[:-1]) == []
    assert cut.eof() is None


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (MAX_HEAD_BYTES + 10),
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_reply_or_too_long_is_refused(stream: bytes) -> None:
    with pytest.raises(ReplyError):
        ReplyReader().feed(stream)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_another_way(stream: bytes) -> None:
    with contextlib.suppress(ReplyError):
        ReplyReader().feed(stream)
