"""Subscribers against real sockets: every delivery, loss, duplicate and reconnect is accounted for exactly."""

import random
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from darktime.blast.arrivals import constant
from darktime.blast.cohort import Cohort
from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.health import Health, backlog_share, verdict
from darktime.blast.marks import body
from darktime.blast.publisher import Published
from darktime.blast.requests import RequestPool
from darktime.blast.settings import resolve
from darktime.blast.streams import Publisher, Streams

pytestmark = pytest.mark.quiet

RUN = "test"
LIMIT_S = 10.0
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def published(last, *refused):
    return Published(last=[last], refused=[list(refused)])


class Instance:
    """Accepts subscribers and keeps their requests and sockets; what they are sent is the test's business."""

    def __init__(self, listening, reply):
        self.listening = listening
        self.reply = reply  # bytes, or what makes them of the request
        self.links = []
        self.requests = []
        self.address = resolve(f"127.0.0.1:{listening.getsockname()[1]}")

    def serve(self):
        while True:
            try:
                link, _ = self.listening.accept()
            except OSError:
                return
            with suppress(OSError):
                link.settimeout(LIMIT_S)
                request = link.recv(65_536)
                self.requests.append(request)
                self.links.append(link)
                link.sendall(self.reply(request) if callable(self.reply) else self.reply)

    def send(self, data):
        for link in self.links:
            link.sendall(data)


@contextmanager
def instance(reply=CHUNKED):
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        served = Instance(listening, reply)
        thread = threading.Thread(target=served.serve, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            with suppress(OSError):  # a test may have done so
                listening.shutdown(socket.SHUT_RDWR)
            for link in served.links:
                link.close()
    thread.join(5)


class Rig:
    """A cohort of subscribers on an instance, and what they counted so far."""

    def __init__(self, address, *, count=1, channels=1, names=(), slow=None, event_ids=False, **options):
        self.cohort = Cohort()
        self.publisher = Publisher(address, channels, RUN, names=names, event_ids=event_ids)
        self.streams = Streams(self.cohort, address, self.publisher, count=count, run=RUN, **options)
        if slow:
            self.streams.slow(*slow)
        self.total = Deliveries()

    def until(self, condition):
        end = time.monotonic() + LIMIT_S
        while not condition(self.counted()):
            assert time.monotonic() < end, self.total.to_dict()
            self.cohort.turn(0.02)
        return self.total

    def counted(self):
        self.total.merge(self.streams.take())
        return self.total

    def stand(self):
        self.until(lambda _: self.streams.standing)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.streams.close()
        self.cohort.close()


def event(number, *, channel=0, publisher=0, at=None, end=b"\n"):
    at_us = int((time.monotonic() if at is None else at) * 1e6)
    return b"id: %d%bdata: " % (number, end) + body(RUN.encode(), channel, publisher, at_us, number) + end + end


def chunk(*events):
    text = b"".join(events)
    return b"%x\r\n%b\r\n" % (len(text), text)


def accounts(counted):
    return {
        name: getattr(counted, name) for name in ("delivered", "duplicated", "reordered", "lost", "late", "differed")
    }


EVEN = {"delivered": 0, "duplicated": 0, "reordered": 0, "lost": 0, "late": 0, "differed": 0}


def test_one_lost_of_a_thousand_is_counted_exactly_on_every_subscriber():
    with instance() as served, Rig(served.address, count=20) as rig:
        rig.stand()
        rig.publisher.published[0] = 1000
        for number in range(1, 1001):
            if number != 617:
                served.send(chunk(event(number)))
            rig.cohort.turn(0)
        rig.until(lambda counted: counted.delivered == 999 * 20)
        assert rig.streams.owed() == 20
        assert rig.streams.settle() == 20
        counted = rig.counted()
        assert accounts(counted) == EVEN | {"delivered": 19_980, "lost": 20}
        assert counted.checked == 999, "one of the 20 was read exactly as well"
        assert counted.latency.count == 19_980
        assert rig.streams.owed() == 0


def test_what_comes_twice_swapped_or_after_the_account_was_closed_is_told_apart():
    with instance() as served, Rig(served.address, count=3) as rig:
        rig.stand()
        rig.publisher.published[0] = 8
        for number in (1, 2, 2, 5, 3, 1, 7):
            served.send(chunk(event(number)))
        rig.until(lambda counted: counted.delivered == 5 * 3 and counted.duplicated == 2 * 3)
        assert rig.streams.settle() == 3 * 3, "4, 6 and 8"
        served.send(chunk(event(4), event(2), event(9)))
        counted = rig.until(lambda counted: counted.delivered == 6 * 3)
        assert accounts(counted) == EVEN | {"delivered": 18, "duplicated": 9, "reordered": 3, "lost": 9, "late": 3}


def test_what_the_instance_refused_is_owed_to_nobody():
    with instance() as served, Rig(served.address, count=2) as rig:
        rig.stand()
        for ok in (True, False, True):
            rig.publisher.ended(rig.publisher.next(1.0)[1], ok=ok)
        served.send(chunk(event(1), event(3)))
        rig.until(lambda counted: counted.delivered == 4)
        assert rig.streams.owed() == 0
        assert rig.streams.settle() == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("framing", ["chunked", "plain", "chunk in event"])
def test_an_event_is_counted_once_wherever_a_read_or_a_chunk_cuts_it(end, framing):
    one = event(1, end=end)
    with instance(PLAIN if framing == "plain" else CHUNKED) as served, Rig(served.address, check_share=0.5) as rig:
        rig.stand()
        numbers = 0
        for place in range(1, len(one), 1 if framing == "chunk in event" else 3):
            numbers += 1
            text = event(numbers, end=end)
            if framing == "chunk in event":
                served.send(chunk(text[:place]) + chunk(text[place:]))
            else:
                wire = text if framing == "plain" else chunk(text)
                served.send(wire[:place])
                rig.cohort.turn(0.01)
                served.send(wire[place:])
            rig.until(lambda counted, numbers=numbers: counted.delivered == numbers)
        rig.publisher.published[0] = numbers
        assert rig.streams.settle() == 0
        counted = rig.counted()
        assert accounts(counted) == EVEN | {"delivered": numbers}
        assert counted.checked == numbers


def test_shuffled_lost_and_doubled_events_in_random_pieces_are_accounted_as_they_were_sent():
    drawn = random.Random(7)
    with instance() as served, Rig(served.address, count=4) as rig:
        rig.stand()
        sent = [number for number in range(1, 401) if drawn.random() > 0.1]
        doubled = [number for number in sent if drawn.random() < 0.1]
        order = sorted(sent + doubled, key=lambda number: number + drawn.random() * 4)
        wire = b"".join(chunk(event(number)) for number in order)
        while wire:
            size = drawn.randrange(1, 600)
            served.send(wire[:size])
            wire = wire[size:]
            rig.cohort.turn(0.001)
        rig.publisher.published[0] = 400
        rig.until(lambda counted: counted.delivered == len(sent) * 4)
        assert rig.streams.settle() == (400 - len(sent)) * 4
        highest, reordered, seen = 0, 0, set()
        for number in order:
            reordered += number < highest and number not in seen
            seen.add(number)
            highest = max(highest, number)
        assert accounts(rig.counted()) == EVEN | {
            "delivered": len(sent) * 4,
            "duplicated": len(doubled) * 4,
            "reordered": reordered * 4,
            "lost": (400 - len(sent)) * 4,
        }


def test_events_of_another_run_or_another_channel_are_not_taken_for_ours():
    with instance() as served, Rig(served.address, count=2, channels=1) as rig:
        rig.stand()
        served.send(chunk(event(1, channel=3), b"data: hello\n\n", b'data: {"blast":"other","n":1}\n\n', event(1)))
        counted = rig.until(lambda counted: counted.delivered == 2)
        assert (counted.misrouted, counted.duplicated, counted.differed) == (2, 0, 0)


def test_comments_are_counted_and_leave_no_trace():
    with instance(CHUNKED + chunk(b": \n")) as served, Rig(served.address, count=5, check_share=0.2) as rig:
        rig.stand()
        for _ in range(3):
            served.send(chunk(b": -1\n"))
        served.send(chunk(event(1)))
        counted = rig.until(lambda counted: counted.delivered == 5)
        assert counted.comments == 4 * 5
        assert [link.reader is None for link in rig.streams._links] == [False, True, True, True, True]


def test_latency_runs_from_the_planned_time_and_what_was_early_by_the_clocks_counts_as_skew():
    with instance() as served, Rig(served.address, count=2) as rig:
        rig.stand()
        served.send(chunk(event(1, at=time.monotonic() - 0.5)))
        counted = rig.until(lambda counted: counted.delivered == 2)
        assert 500 <= counted.latency.percentile_ms(0) < 1500
        served.send(chunk(event(2, at=time.monotonic() + 60)))
        counted = rig.until(lambda counted: counted.delivered == 4)
        assert counted.clock_skew == 2
        assert counted.latency.min_us == 0


def test_the_spread_of_an_event_is_from_its_first_subscriber_to_its_last():
    with instance() as served, Rig(served.address, count=3) as rig:
        rig.stand()
        one = chunk(event(1))
        served.links[0].sendall(one)
        served.links[1].sendall(one)
        rig.until(lambda counted: counted.delivered == 2)
        began = time.monotonic()
        rig.until(lambda _: time.monotonic() > began + 0.2)
        served.links[2].sendall(one)
        counted = rig.until(lambda counted: counted.delivered == 3)
        assert counted.spread.count == 1
        assert 200 <= counted.spread.percentile_ms(100) < 2000


def test_sequences_of_other_processes_are_accounted_apart_and_settled_by_what_they_say():
    with instance() as served, Rig(served.address, count=2, publishers=2, me=0) as rig:
        rig.stand()
        served.send(chunk(event(1, publisher=1), event(1), event(3, publisher=1), event(3, publisher=1)))
        rig.until(lambda counted: counted.delivered == 3 * 2 and counted.duplicated == 2)
        rig.publisher.published[0] = 1
        assert rig.streams.owed() == 0, "others tell what they published when all is over"
        told = {0: published(1), 1: published(7, 6, 7)}
        assert rig.streams.owed_by_others(told) == 3 * 2
        assert rig.streams.settle(told) == 3 * 2, "2, 4 and 5 of the other; 6 and 7 were refused it"
        served.send(chunk(event(8, publisher=1), event(5, publisher=1), event(2)))
        counted = rig.until(lambda counted: counted.delivered == 5 * 2)
        assert accounts(counted) == EVEN | {"delivered": 10, "duplicated": 2, "lost": 6, "late": 2}


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "shared"])
def test_events_of_several_publishers_one_by_one_are_all_in_order(count):
    with instance() as served, Rig(served.address, count=count, check_share=0, publishers=3, me=1) as rig:
        rig.stand()
        for number in range(1, 31):
            for publisher in range(3):
                if (publisher, number) != (2, 17):
                    served.send(chunk(event(number, publisher=publisher)))
                rig.cohort.turn(0.005)
        rig.until(lambda counted: counted.delivered == 89 * count)
        rig.publisher.published[0] = 30
        assert rig.streams.settle({0: published(30), 2: published(30)}) == count
        assert accounts(rig.counted()) == EVEN | {"delivered": 89 * count, "lost": count}
        assert rig.total.latency.count == 89 * count
        assert rig.total.bytes > 89 * count * 80


def test_who_comes_in_the_middle_is_owed_only_what_is_published_from_then_on():
    with instance() as served, Rig(served.address) as rig:
        rig.publisher.published[0] = 10
        rig.stand()
        rig.publisher.published[0] = 12
        served.send(chunk(event(12)))
        rig.until(lambda counted: counted.delivered == 1)
        assert rig.streams.settle() == 1


def test_a_stream_that_is_cut_asks_for_what_it_missed_and_the_replay_is_counted_apart(stack):
    push = stack.push("push", options=["--store", "100"])
    address = resolve(f"{push.host}:{push.port}")
    with Rig(address, count=10, channels=2, event_ids=True) as rig:
        pool = RequestPool(rig.cohort, address, rig.publisher, size=2, timeout_s=5.0)
        rig.stand()

        def publish(times):
            for _ in range(times):
                pool.submit(time.monotonic())
            rig.until(lambda _: not pool.in_flight and not pool.waiting)

        publish(20)
        rig.until(lambda counted: counted.delivered == 20 * 5)
        assert rig.streams.cut() == 10
        assert rig.streams.open == 0
        publish(6)
        rig.stand()
        publish(4)
        counted = rig.until(lambda counted: counted.delivered == 30 * 5)
        assert rig.streams.settle() == 0
        assert counted.replayed == 6 * 5
        assert counted.streams_cut == 10
        assert counted.streams_ended == 0, "they were closed from here"
        assert counted.streams_opened == 20
        assert counted.reconnect.count == 10
        assert counted.reconnect.percentile_ms(0) >= 500, "nobody comes back before the wait is over"
        assert counted.latency.count == 24 * 5, "what was away for the sake of the cut is no latency of the instance"
        pool.close()


def test_what_a_reconnect_did_not_bring_back_is_lost_and_said_to_be(stack):
    push = stack.push("push")  # it stores nothing
    address = resolve(f"{push.host}:{push.port}")
    with Rig(address, count=4) as rig:
        pool = RequestPool(rig.cohort, address, rig.publisher, size=1, timeout_s=5.0)
        rig.stand()
        rig.streams.cut()
        pool.submit(time.monotonic())
        rig.until(lambda _: not pool.in_flight and not pool.waiting)
        rig.stand()
        pool.submit(time.monotonic())
        rig.until(lambda counted: counted.delivered == 4)
        assert rig.streams.settle() == 4
        counted = rig.counted()
        assert (counted.lost, counted.unreplayed, counted.replayed) == (4, 4, 0)
        pool.close()


def test_a_stream_says_what_it_had_last_and_waits_as_long_as_it_was_told():
    with instance() as served, Rig(served.address) as rig:
        rig.stand()
        served.send(chunk(b"retry: 200\nid: a-1\n\n", event(7)))
        rig.until(lambda counted: counted.delivered == 1)
        ended = time.monotonic()
        served.links[0].close()
        rig.until(lambda counted: counted.streams_opened == 2)
        assert 0.2 <= time.monotonic() - ended < 5
        assert b"\r\nLast-Event-ID: 7\r\n" in served.requests[1]
        assert b"Last-Event-ID" not in served.requests[0]
        assert rig.total.reasons == {"closed": 1}
        assert rig.total.reconnect.min_us >= 200_000


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "status_5xx"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", "not_a_stream"),
        (PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), "not_a_stream"),
        (b"nonsense\r\n\r\n", "not_http"),
        (CHUNKED + b"zz\r\n", "not_http"),
        (CHUNKED + chunk(b": \n") + b"0\r\n\r\n", "closed"),
        (b"", "timeout"),
    ],
)
def test_why_streams_end_is_counted_by_name(reply, reason):
    with instance(reply) as served, Rig(served.address, count=3, timeout_s=0.3) as rig:
        counted = rig.until(lambda counted: counted.streams_ended >= 3)
        assert set(counted.reasons) == {reason}
        assert rig.streams.open == 0


def test_a_reset_and_a_refused_connection_have_names_too():
    with instance() as served, Rig(served.address) as rig:
        rig.stand()
        linger = b"\1\0\0\0\0\0\0\0"
        served.links[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        served.links[0].close()
        rig.until(lambda counted: counted.reasons.get("reset") == 1)
        served.listening.shutdown(socket.SHUT_RDWR)
        rig.until(lambda counted: counted.reasons.get("connect_refused"))


@pytest.mark.parametrize(
    ("reply", "away"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"", "timeout"),
    ],
)
def test_who_never_was_served_is_counted_by_how_it_was_turned_away(reply, away):
    with instance(reply) as served, Rig(served.address, count=3, timeout_s=0.3) as rig:
        counted = rig.until(lambda counted: counted.streams_ended >= 3)
        assert rig.streams.turned_away == counted.turned_away
        assert set(counted.turned_away) == {away}
        assert rig.streams.never_served == 3


def test_who_was_served_once_is_not_turned_away_later():
    with instance() as served, Rig(served.address) as rig:
        rig.stand()
        served.reply = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
        served.links[0].close()
        rig.until(lambda counted: counted.reasons.get("status_5xx"))
        assert rig.streams.never_served == 0
        assert rig.streams.turned_away == {}


def test_a_connection_that_nobody_accepts_is_told_from_a_reply_that_does_not_come():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(3):  # until the kernel holds no more of them
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with Rig(resolve(f"127.0.0.1:{full.getsockname()[1]}"), count=3, timeout_s=0.3) as rig:
            counted = rig.until(lambda counted: counted.streams_ended >= 3)
            assert set(counted.reasons) == {"timeout"}
            assert set(counted.turned_away) == {"connect_timeout"}


def test_a_stream_that_falls_silent_is_ended():
    with instance() as served, Rig(served.address, silence_s=0.2) as rig:
        rig.stand()
        rig.until(lambda counted: counted.reasons.get("silent") == 1)


def test_slow_readers_read_no_faster_than_they_may_and_their_latency_is_kept_apart():
    with instance() as served, Rig(served.address, count=4, slow=(0.5, 400.0)) as rig:
        rig.stand()
        rig.publisher.published[0] = 20
        began = time.monotonic()
        for number in range(1, 21):
            served.send(chunk(event(number)))
        rig.until(lambda counted: counted.delivered == 40)
        assert rig.streams.owed() == 0, "nobody waits for the slow ones"
        rig.until(lambda counted: counted.slow_delivered >= 12)
        assert time.monotonic() - began >= 1.4, "6 events of 110 bytes for each, at 400 bytes a second"
        counted = rig.counted()
        slow = counted.slow_delivered
        assert rig.streams.settle() == 0
        counted = rig.counted()
        assert counted.slow_behind == 40 - slow
        assert counted.lost == 0
        assert counted.latency.max_us < counted.slow_latency.max_us


def test_subscribers_come_no_faster_than_their_pace():
    with instance() as served, Rig(served.address, count=40, connects_per_s=50.0) as rig:
        began = time.monotonic()
        rig.stand()
        assert 0.6 <= time.monotonic() - began < 3
        assert rig.total.connect.count == 40


def test_subscribers_come_from_the_addresses_they_are_given(stack):
    with instance() as served, Rig(served.address, count=4, source_ips=("127.0.0.5", "127.0.0.6")) as rig:
        rig.stand()
        assert sorted(link.getpeername()[0] for link in served.links) == ["127.0.0.5"] * 2 + ["127.0.0.6"] * 2


def test_a_named_channel_carries_everything(stack):
    push = stack.push("push")
    address = resolve(f"{push.host}:{push.port}")
    with Rig(address, count=5, channels=1, names=("viral",)) as rig:
        pool = RequestPool(rig.cohort, address, rig.publisher, size=2, timeout_s=5.0)
        rig.stand()
        arrivals = constant(200.0, 0.5)
        start = time.monotonic()
        while arrivals.next_s() < 0.5:
            for at in arrivals.due(time.monotonic() - start):
                pool.submit(start + at)
            rig.cohort.turn(0.01)
        published = rig.publisher.published[0]
        rig.until(lambda counted: counted.delivered == published * 5 >= 400)
        assert rig.streams.settle() == 0
        assert rig.counted().spread.count == published
        pool.close()


def test_publishers_have_numbers_below_their_count():
    with instance() as served, pytest.raises(ValueError, match="publisher 2 of 2"):
        Rig(served.address, publishers=2, me=2)


def test_reads_of_streams_that_leave_more_waiting_are_evidence_against_a_busy_generator():
    with instance() as served, Rig(served.address, count=2) as rig:
        rig.stand()
        rig.publisher.published[0] = 4000
        served.send(b"".join(chunk(event(number)) for number in range(1, 4001)))
        counted = rig.until(lambda counted: counted.delivered == 8000)
        assert 1 <= counted.backlog_reads < counted.reads
        share = backlog_share(Counts(requests=4000), counted)
        assert share == counted.backlog_reads / counted.reads
        busy = {"send_lag_p99_ms": 0.0, "loop_lag_max_ms": 0.0, "cpu_share": 0.7, "achieved_share": 1.0}
        assert "of its reads found more than they could take" in verdict(
            Health(**busy, backlog_share=max(share, 0.3)), slo_ms=200.0, passed=False
        )
