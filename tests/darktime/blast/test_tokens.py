"""Streams that end by themselves, against servers of known delays: times, ends and good ones are counted exactly."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.cohort import Cohort
from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.settings import resolve
from darktime.blast.sources import Fixed, request
from darktime.blast.token_reader import TokenReader
from darktime.blast.tokens import TokenStreams
from darktime.wire.head import Head
from darktime.wire.stream import StreamReader

pytestmark = pytest.mark.quiet

LIMIT_S = 15.0
DONE = b"[DONE]"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(text):
    return b"%x\r\n%b\r\n" % (len(text), text)


def token(text=b"x", end=b"\n"):
    return b'data: {"token":"%b"}' % text + end + end


@contextmanager
def server(answer):
    """Gives every request to ``answer(link, number)``, one thread a connection; yields the address and the requests."""
    requests = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:

        def guarded(link):
            with link, suppress(OSError):
                while asked := link.recv(65_536):
                    requests.append(asked)
                    if answer(link, len(requests)) is False:
                        return

        def serve():
            while True:
                try:
                    link, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=guarded, args=(link,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield resolve(f"127.0.0.1:{listening.getsockname()[1]}"), requests
        finally:
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


class Rig:
    def __init__(self, address, *, size=1, timeout_s=5.0, **options):
        self.cohort = Cohort()
        asked = request(address, "POST", "/v1/chat/completions", body=b'{"stream":true}')
        self.tokens = TokenStreams(
            self.cohort, address, Fixed(asked), size=size, timeout_s=timeout_s, check_share=1.0, **options
        )
        self.counts, self.deliveries = Counts(), Deliveries()
        self.tokens.open()
        self.until(lambda: self.tokens.standing)

    def until(self, condition):
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, (self.counts.to_dict(), self.deliveries.to_dict())
            self.cohort.turn(0.02)
            self.take()
        self.take()

    def take(self):
        self.counts.merge(self.tokens.take())
        self.deliveries.merge(self.tokens.take_deliveries())

    def run(self, streams, *, late_s=0.0):
        planned = time.monotonic() - late_s
        for _ in range(streams):
            assert self.tokens.submit(planned)
        self.until(lambda: not self.tokens.in_flight and not self.tokens.waiting)
        return self.deliveries

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tokens.close()
        self.cohort.close()


def timed(events=5, first_s=0.15, between_s=0.06):
    def answer(link, _):
        link.sendall(HEAD)
        for number in range(events):
            time.sleep(first_s if number == 0 else between_s)  # the server's known delay
            link.sendall(chunk(token()))
        link.sendall(chunk(b"data: [DONE]\n\n") + LAST)

    return answer


def test_times_to_the_first_event_and_between_events_are_the_servers():
    with server(timed()) as (address, requests), Rig(address, size=20, end_marker=DONE) as rig:
        counted = rig.run(20)
        assert len(requests) == 20
        assert requests[0].startswith(b"POST /v1/chat/completions ")
        assert requests[0].endswith(b'{"stream":true}')
        assert (counted.completed, counted.cut_off, counted.streams_refused) == (20, 0, 0)
        assert counted.delivered == 100, "the end marker is no event"
        assert counted.first_event.count == 20
        assert counted.between.count == 80
        assert 150 <= counted.first_event.percentile_ms(0) <= counted.first_event.percentile_ms(50) < 400
        assert 60 <= counted.between.percentile_ms(50) < 150
        assert counted.events_a_stream.min_us == counted.events_a_stream.max_us == 5
        assert (counted.checked, counted.differed) == (100, 0)
        assert (rig.counts.requests, rig.counts.failures, rig.counts.statuses) == (20, 0, {"200": 20})
        assert rig.counts.latency.min_us >= (0.15 + 4 * 0.06) * 1e6
        assert rig.counts.connects == 20


def test_the_time_to_the_first_event_counts_from_the_planned_time():
    with server(timed(events=1, first_s=0.0)) as (address, _), Rig(address) as rig:
        counted = rig.run(1, late_s=0.7)
        assert 700 <= counted.first_event.percentile_ms(0) < 1500


def test_a_connection_is_used_again_when_the_reply_has_ended():
    with (
        server(timed(events=2, first_s=0.0, between_s=0.0)) as (address, requests),
        Rig(address, end_marker=DONE) as rig,
    ):
        counted = rig.run(5)
        assert (counted.completed, len(requests), rig.counts.connects) == (5, 5, 1)


def test_a_closed_model_begins_the_next_stream_when_one_has_ended():
    with server(timed(events=2, first_s=0.0, between_s=0.01)) as (address, _), Rig(address, size=3) as rig:
        rig.tokens.closed_model = True
        rig.tokens.start_closed()
        rig.until(lambda: rig.deliveries.completed >= 30)
        rig.tokens.closed_model = False
        rig.until(lambda: not rig.tokens.in_flight)
        assert rig.counts.requests == rig.deliveries.completed
        assert rig.counts.connects == 3


@pytest.mark.parametrize(
    ("tail", "end_marker", "completed"),
    [
        (LAST, None, True),
        (b"", None, False),
        (LAST, DONE, False),
        (chunk(b"data: [DONE]\n\n") + LAST, DONE, True),
        (chunk(b"data:[DONE]\r\n\r\n"), DONE, True),
        (chunk(b'data: {"token": "[DONE]"}\n\n') + LAST, DONE, False),
    ],
    ids=["framed", "cut", "no marker", "marker", "marker, then closed", "marker in a token"],
)
def test_a_stream_is_whole_by_its_marker_or_by_its_framing_and_else_cut_off(tail, end_marker, completed):
    def answer(link, _):
        link.sendall(HEAD + chunk(token() + token()) + tail)
        return False

    with server(answer) as (address, _), Rig(address, end_marker=end_marker) as rig:
        counted = rig.run(1)
        assert (counted.completed, counted.cut_off) == ((1, 0) if completed else (0, 1))
        assert counted.delivered >= 2
        assert counted.differed == 0
        assert rig.counts.reasons == ({} if completed else {"cut_off": 1})
        assert rig.counts.failures == (not completed)


@pytest.mark.parametrize(
    ("reply", "reason", "refused"),
    [
        (b"HTTP/1.1 429 Slow down\r\nContent-Length: 2\r\n\r\nno", "status_4xx", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "not_a_stream", 1),
        (b"nonsense\r\n\r\n", "not_http", 0),
        (b"", "closed", 0),
    ],
)
def test_what_is_answered_with_no_stream_fails_by_name(reply, reason, refused):
    def answer(link, _):
        link.sendall(reply)
        return False

    with server(answer) as (address, _), Rig(address) as rig:
        counted = rig.run(1)
        assert rig.counts.reasons == {reason: 1}
        assert (counted.streams_refused, counted.completed, counted.cut_off) == (refused, 0, 0)


def test_a_stream_may_last_longer_than_the_timeout_but_not_be_silent_so_long():
    def answer(link, number):
        link.sendall(HEAD)
        for _ in range(8):
            link.sendall(chunk(token()))
            time.sleep(0.1)
        if number > 1:
            time.sleep(LIMIT_S)
        link.sendall(LAST)

    with server(answer) as (address, _), Rig(address, timeout_s=0.5) as rig:
        assert rig.run(1).completed == 1
        counted = rig.run(1)
        assert (counted.completed, counted.cut_off) == (1, 1)
        assert rig.counts.reasons == {"timeout": 1}


def test_a_good_stream_has_every_event_in_time():
    pauses = {1: (0.0, 0.0), 2: (0.4, 0.0), 3: (0.0, 0.4), 4: (0.0, 0.0)}

    def answer(link, number):
        first, between = pauses[number]
        link.sendall(HEAD)
        time.sleep(first)
        link.sendall(chunk(token()))
        time.sleep(between)
        link.sendall(chunk(token()))
        if number == 4:
            return False
        link.sendall(LAST)
        return True

    with server(answer) as (address, _), Rig(address, first_event_limit_s=0.2, between_limit_s=0.2) as rig:
        for _ in pauses:
            rig.run(1)
        assert (rig.deliveries.completed, rig.deliveries.good, rig.deliveries.cut_off) == (3, 1, 1)


def test_a_thousand_streams_are_read_at_once():
    def answer(link, _):
        link.sendall(HEAD)
        for _ in range(4):
            time.sleep(0.5)
            link.sendall(chunk(token()))
        link.sendall(LAST)

    with server(answer) as (address, _), Rig(address, size=1000) as rig:
        began = time.monotonic()
        counted = rig.run(1000)
        assert counted.completed == 1000
        assert counted.delivered == 4000
        assert time.monotonic() - began < 10, "2 s each, so they ran beside one another"


def test_what_is_abandoned_is_counted_as_cut_off():
    with server(timed(events=50)) as (address, _), Rig(address, size=3) as rig:
        for _ in range(3):
            rig.tokens.submit(time.monotonic())
        rig.until(lambda: rig.deliveries.first_event.count == 3)
        assert rig.tokens.abandon("unfinished") == 3
        rig.take()
        assert (rig.deliveries.cut_off, rig.counts.reasons) == (3, {"unfinished": 3})


lines = st.sampled_from(
    [
        b"data: a",
        b"data",
        b"data:",
        b"data: [DONE]",
        b": c",
        b"id: 1",
        b"event: e",
        b"",
        b"",
        b"retry: 5",
        b"database: 1",
    ]
)


@given(
    st.lists(lines, max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 300), max_size=20),
    st.booleans(),
)
def test_events_are_counted_as_the_exact_reader_counts_them(text, end, places, is_chunked):
    data = end.join([*text, b""])
    pieces = [data[a:b] for a, b in zip([0, *sorted(places)], [*sorted(places), len(data)], strict=True)]
    if is_chunked:
        pieces = [chunk(piece) for piece in pieces if piece]
    head = Head(status=200, headers=(), length=None, chunked=is_chunked, keep_alive=is_chunked)
    reader, exact = TokenReader(head, DONE), StreamReader()
    exact.feed(HEAD if is_chunked else HEAD.replace(b"Transfer-Encoding: chunked\r\n", b""))
    for piece in pieces:
        events = exact.feed(piece)
        assert reader.feed(piece, 1.0) == sum(event.data != "[DONE]" for event in events)
    assert reader.comments <= exact.events.comments
