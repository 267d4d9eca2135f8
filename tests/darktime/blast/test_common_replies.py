"""What the pool takes for a whole, ordinary reply is one: as the exact reader and h11 read it, whatever came before."""

import h11
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.common_replies import MAX_KNOWN, CommonReplies
from darktime.wire.errors import WireError
from darktime.wire.http1 import ResponseReader

STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1 200",
    b"HTTP/1.1 301 Moved Permanently",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 503 Service Unavailable",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 0200 OK",
    b"HTTP/1.1 2000 OK",
]
LINES = [
    b"Content-Length: 5",
    b"content-length:5",
    b"Content-Length: 0",
    b"Content-Length: 12",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 05",
    b"Content-Length : 5",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:identity",
    b"Connection: close",
    b"Connection: keep-alive",
    b"connection: Keep-Alive",
    b"Connection: upgrade",
    b"Server: x",
    b"Date: Thu, 26 Nov 2026 15:00:00 GMT",
    b"X-Empty:",
    b"X-\x7f: y",
    b"X-Text: caf\xe9",
    b" folded",
    b"no colon",
    b"",
]
BODIES = [b"", b"hello", b"hello world!", b"hell", b"hello!", b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]


@st.composite
def wires(draw):
    head = [draw(st.sampled_from(STATUS_LINES)), *draw(st.lists(st.sampled_from(LINES), max_size=4))]
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    wire = end.join(head) + end * 2 + draw(st.sampled_from(BODIES))
    return wire[: len(wire) - draw(st.sampled_from([0, 0, 0, 1, 3]))]


def read_exactly(wire):
    """The one reply that is all of it and leaves the connection open; None for everything else."""
    reader = ResponseReader()
    reader.expect(b"GET")
    try:
        replies = reader.feed(wire)
    except WireError:
        return None
    if len(replies) != 1 or not replies[0].keep_alive or not reader.between:
        return None
    return replies[0].status


def read_by_h11(wire):
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    status = None
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
            if isinstance(event, h11.Response):
                status = event.status_code
        connection.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):  # the second: the connection does not go on
        return None
    return None if connection.trailing_data[0] else status


@given(st.lists(wires(), min_size=1, max_size=12))
def test_what_is_taken_for_a_common_reply_is_the_one_that_the_exact_readers_read(sequence):
    replies = CommonReplies()
    for wire in sequence + sequence[::-1]:  # once to learn the head, and once to know it
        status = replies.status(wire)
        if status:
            assert status == read_exactly(wire) == read_by_h11(wire), wire


@given(
    st.sampled_from([200, 201, 301, 404, 418, 500, 503]),
    st.lists(st.sampled_from([b"Server: x", b"X-Empty:", b"Connection: keep-alive"]), max_size=3, unique=True),
    st.binary(max_size=40),
)
def test_every_plain_reply_is_common_and_its_neighbours_by_a_byte_are_not(status, lines, body):
    head = b"\r\n".join([b"HTTP/1.1 %d Some Reason" % status, *lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n"
    replies, following = CommonReplies(), CommonReplies(unless=frozenset({status}))
    for _ in range(2):
        assert replies.status(head + body) == status == read_exactly(head + body)
        assert replies.status(head + body + b"x") == 0
        assert replies.status((head + body)[:-1]) == 0
        assert following.status(head + body) == 0, "a redirect is read the general way where it is followed"


def test_heads_that_differ_every_time_are_not_all_kept():
    replies = CommonReplies()
    for number in range(3 * MAX_KNOWN):
        assert replies.status(b"HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: 2\r\n\r\nok" % number) == 200
        assert len(replies._known) <= MAX_KNOWN
