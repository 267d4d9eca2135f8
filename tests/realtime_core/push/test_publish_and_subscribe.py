"""Publishing and subscribing over real sockets: the exact bytes, in order, nothing lost or doubled."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import pytest

from tests.realtime_core.push.client import Reader, ask, browser_events, dial, publish, read_all, replies_in, say
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Push


def test_a_publish_to_nobody_tells_the_modules_figures(start: Callable[..., Push]) -> None:
    push = start("--store", "10")
    reply = ask(push, "POST", "/pub?id=ch", b"hi")
    expected = b'{"channel": "ch", "published_messages": 1, "stored_messages": 1, "subscribers": 0}\r\n'
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/json", expected)
    assert ask(push, "GET", "/pub?id=ch").body == expected
    assert ask(push, "PUT", "/pub?id=ch", b"hi").body == expected.replace(b": 1", b": 2")
    assert ask(push, "GET", "/pub?id=absent").status == 404


def test_a_subscriber_gets_exactly_the_modules_bytes(push: Push) -> None:
    with Reader(push, "ch") as reader:
        reply = publish(push, "ch", "test message")
        assert reader.until(b"\n\n") == b": \ndata: test message\n\n"
        assert b'"subscribers": 1' in reply.body
        publish(push, "ch", "second", Event_Id="7", Event_Type="post")
        assert reader.until(b"second\n\n") == b": \ndata: test message\n\nid: 7\nevent: post\ndata: second\n\n"
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.headers["transfer-encoding"] == "chunked"
        assert "no-cache" in reader.headers["cache-control"]
        assert reader.headers["x-accel-buffering"] == "no"
        assert reader.raw.partition(b"\r\n\r\n")[2].startswith(b"3\r\n: \n\r\n14\r\ndata: test message\n\n\r\n")


def test_lines_of_every_kind_become_data_lines(push: Push) -> None:
    with Reader(push, "ch") as reader:
        publish(push, "ch", "line 1\nline 2\rline 3\r\nline 4")
        assert browser_events(reader.until(b"\n\n"))[0].data == "line 1\nline 2\nline 3\nline 4"


def test_a_client_of_http_1_0_gets_the_stream_without_chunks(push: Push) -> None:
    with dial(push) as sock:
        sock.sendall(b"GET /ev/ch HTTP/1.0\r\n\r\n")
        stream = sock.recv(4096)
        publish(push, "ch", "one")
        while not stream.endswith(b"\n\n"):
            stream += sock.recv(4096)
        head, _, body = stream.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert b"Transfer-Encoding" not in head
        assert body == b": \ndata: one\n\n"


def test_one_subscription_takes_several_channels_and_one_publish_reaches_several(push: Push) -> None:
    with Reader(push, "a/b/a") as reader:
        reply = publish(push, "a/c", "first")
        assert b'"infos"' in reply.body
        publish(push, "b", "second")
        publish(push, "c", "not for us")
        publish(push, "a", "third")
        assert [event.data for event in browser_events(reader.until(b"third\n\n"))] == ["first", "second", "third"]


@pytest.mark.parametrize("size", [1, 100])
def test_pipelined_publishes_are_answered_and_delivered_in_order(push: Push, size: int) -> None:
    count = 1500
    body = b"x" * size
    with Reader(push, "ch") as reader, dial(push) as sock:
        head = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\n"
        requests = [
            head + b"Event-Id: %d\r\nContent-Length: %d\r\n\r\n%b" % (number, size, body) for number in range(count)
        ]
        requests.append(b"GET /pub?id=ch HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        sock.sendall(b"".join(requests))
        replies = replies_in(read_all(sock), count + 1)
        assert {reply.status for reply in replies} == {200}
        published = [int(reply.body.split(b'"published_messages": ')[1].split(b",")[0]) for reply in replies]
        assert published == [*range(1, count + 1), count]
        stream = reader.until(b"id: %d\ndata: %b\n\n" % (count - 1, body))
        assert [event.id for event in browser_events(stream)] == [str(number) for number in range(count)]


def test_replies_come_before_the_stream_when_a_subscription_is_pipelined(push: Push) -> None:
    post = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
    with dial(push) as sock:
        sock.sendall(post + b"GET /ev/ch.b1 HTTP/1.1\r\nHost: h\r\n\r\n")
        stream = b""
        while not stream.endswith(b"\n\n\r\n"):
            stream += sock.recv(4096)
    assert stream.count(b"HTTP/1.1 200 OK") == 2
    assert stream.index(b"published_messages") < stream.index(b"text/event-stream")


def test_replay_begins_after_the_last_id_and_an_unknown_id_replays_nothing(push: Push) -> None:
    for body, event_id in (("1", "e1"), ("2", "e2"), ("3", ""), ("4", "e3")):
        publish(push, "ch", body, Event_Id=event_id)
    with Reader(push, "ch", wait=False, Last_Event_ID="e2") as reader:
        reader.until(b"data: 4\n\n")
        publish(push, "ch", "5")
        assert reader.until(b"data: 5\n\n") == b": \ndata: 3\n\nid: e3\ndata: 4\n\ndata: 5\n\n"
    with Reader(push, "ch", Last_Event_ID="e0") as reader:
        publish(push, "ch", "6")
        assert reader.until(b"\n\n") == b": \ndata: 6\n\n"


def test_a_backtrack_replays_the_last_messages_of_its_channel_only(push: Push) -> None:
    for channel, body in itertools.product(("a", "b", "c"), ("1", "2", "3")):
        publish(push, channel, channel + body)
    with Reader(push, "a/b.b2/c", wait=False) as reader:
        assert reader.until(b"b3\n\n") == b": \ndata: b2\n\ndata: b3\n\n"
        for channel in "abc":
            publish(push, channel, channel + "4")
        assert [event.data for event in browser_events(reader.until(b"c4\n\n"))] == ["b2", "b3", "a4", "b4", "c4"]


def test_reconnecting_while_publishing_neither_loses_nor_doubles(start: Callable[..., Push]) -> None:
    push = start("--store", "1000")
    count = 600
    failures: list[BaseException] = []

    def publish_all() -> None:
        try:
            for number in range(1, count + 1):
                publish(push, "ch", f"m{number}", Event_Id=str(number))
        except BaseException as error:
            failures.append(error)
            raise

    publish(push, "ch", "m0", Event_Id="0")
    thread = threading.Thread(target=publish_all)
    thread.start()
    seen = ["0"]
    reconnects = 0
    try:
        while seen[-1] != str(count) and not failures:
            with Reader(push, "ch", wait=False, Last_Event_ID=seen[-1]) as reader:
                reader.until(b"\n\n")
                seen += [event.id for event in browser_events(reader.stream)]
            reconnects += 1
    finally:
        thread.join()
    assert not failures
    assert seen == [str(number) for number in range(count + 1)]
    assert reconnects > 20


def test_joining_in_the_middle_of_big_passes_gives_a_gapless_rest(start: Callable[..., Push]) -> None:
    """Subscribers come while passes over others run: each sees every event from some point on, once, in order."""
    push = start("--store", "5000")
    with Reader(push, "ch") as first, dial(push) as sock:
        crowd = [Reader(push, "ch") for _ in range(300)]
        late: list[Reader] = []
        try:
            number = 0
            for _ in range(40):
                batch = []
                for _ in range(20):
                    number += 1
                    batch.append(
                        b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nEvent-Id: %d\r\nContent-Length: 1\r\n\r\nx" % number
                    )
                sock.sendall(b"".join(batch))
                late.append(Reader(push, "ch", wait=False))
                sock.recv(1_000_000)
            last = b"id: %d\ndata: x\n\n" % number
            everything = [event.id for event in browser_events(first.until(last))]
            assert everything == [str(one) for one in range(1, number + 1)]
            publish(push, "ch", "x", Event_Id="end")
            for reader in [*crowd, *late]:
                ids = [event.id for event in browser_events(reader.until(b"id: end\ndata: x\n\n"))]
                assert ids == [*everything, "end"][-len(ids) :]
            assert all(len(browser_events(reader.stream)) == number + 1 for reader in crowd)
        finally:
            for reader in [*crowd, *late]:
                reader.close()


def test_an_idle_subscriber_gets_pings_that_no_browser_shows(start: Callable[..., Push]) -> None:
    push = start("--ping", "0.2")
    with Reader(push, "ch") as reader:
        stream = reader.until(b": -1\n: -1\n")
        assert stream == b": \n: -1\n: -1\n"
        assert browser_events(stream) == []


def test_a_stay_ends_cleanly_when_its_time_is_over(start: Callable[..., Push]) -> None:
    push = start("--connection-ttl", "0.3")
    with Reader(push, "ch") as reader:
        assert reader.to_end() == b": \n"
    wait_until(lambda: b'"subscribers": 0' in ask(push, "GET", "/channels-stats?id=ch").body)


def test_a_client_that_asks_to_continue_is_told_to(push: Push) -> None:
    with dial(push) as sock:
        sock.sendall(
            b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hi")
        assert b'"published_messages": 1' in read_all(sock)


def test_a_client_of_http_1_0_is_answered_and_closed_or_kept_as_it_asks(push: Push) -> None:
    post = b"POST /pub?id=ch HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"
    assert say(push, post).startswith(b"HTTP/1.0 200 OK\r\n")
    kept = post.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)
    replies = replies_in(say(push, kept + post), 2)
    assert [reply.headers["connection"] for reply in replies] == ["keep-alive", "close"]
