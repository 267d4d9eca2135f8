"""Every limit: what is refused, what is bounded, who is dropped, and that nobody else notices."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h11
import pytest

from tests.realtime_core.push.client import Reader, ask, dial, metric, publish, read_all, say
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Push

NO_ID = "No channel id provided."
LARGE = "Channel id is too large."
FORBIDDEN = "Channel id not authorized for this method."


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "explain"),
    [
        ("POST", "/pub", b"x", 400, NO_ID),
        ("POST", "/pub?id=", b"x", 400, NO_ID),
        ("GET", "/ev/", None, 400, NO_ID),
        ("POST", "/pub?id=" + "a" * 201, b"x", 400, LARGE),
        ("GET", "/ev/" + "a" * 201, None, 400, LARGE),
        ("POST", "/pub?id=ALL", b"x", 403, FORBIDDEN),
        ("GET", "/ev/a*", None, 403, FORBIDDEN),
        ("POST", "/pub?id=a%0d%0aX", b"x", 400, "Channel ids are made of A-Z a-z 0-9 _ . : and -"),
        ("POST", "/pub?id=ch", b"", 400, "Empty post requests are not allowed."),
        ("HEAD", "/pub?id=ch", None, 405, None),
        ("PATCH", "/pub?id=ch", b"x", 405, None),
        ("DELETE", "/pub?id=ch", None, 405, None),
        ("POST", "/ev/ch", b"x", 405, None),
        ("OPTIONS", "/channels-stats", None, 405, None),
        ("OPTIONS", "/pub?id=ch", None, 200, None),
        ("GET", "/", None, 404, None),
    ],
)
def test_what_is_refused_says_why_and_has_no_body(  # noqa: PLR0917
    shared: Push, method: str, target: str, body: bytes | None, status: int, explain: str | None
) -> None:
    reply = ask(shared, method, target, body)
    assert (reply.status, reply.explain, reply.body) == (status, explain, b"")
    assert "no-cache" in reply.headers["cache-control"]
    if method in {"HEAD", "PATCH", "DELETE"}:
        assert reply.headers["allow"] == "GET, POST, PUT"


@pytest.mark.parametrize("at", ["yesterday", "nan", "-1", "1e9", "123456789012"])
def test_an_events_time_must_be_one(shared: Push, at: str) -> None:
    reply = ask(shared, "POST", "/pub?id=ch", b"x", Event_At=at)
    assert (reply.status, reply.explain) == (400, "Event-At is not a time in seconds.")


def test_a_line_break_in_an_event_id_is_refused(push: Push) -> None:
    for smuggled in (b"7\ndata: evil", b"7\rdata: evil", b"7\0"):
        head = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nEvent-Id: " + smuggled + b"\r\nContent-Length: 1\r\n\r\nx"
        assert say(push, head).startswith(b"HTTP/1.1 400 ")
    assert ask(push, "GET", "/pub?id=ch").status == 404


def test_a_message_that_is_too_long_is_refused_before_it_is_read_and_the_next_one_works(
    start: Callable[..., Push],
) -> None:
    push = start("--max-message", "1000")
    with Reader(push, "ch") as reader:
        publish(push, "ch", b"y" * 1000)
        assert ask(push, "POST", "/pub?id=ch", b"y" * 1001).status == 413
        huge = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 10737418240\r\n\r\n"
        assert say(push, huge).startswith(b"HTTP/1.1 413 ")
        publish(push, "ch", "next")
        assert reader.until(b"next\n\n") == b": \ndata: " + b"y" * 1000 + b"\n\ndata: next\n\n"


@pytest.mark.parametrize(
    "begun",
    [b"P", b"POST /pub?id=ch HTTP/1.1\r\nHost:", b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"],
)
def test_a_request_that_never_arrives_whole_is_ended(start: Callable[..., Push], begun: bytes) -> None:
    push = start("--request-timeout", "0.4")
    with dial(push) as sock:
        sock.sendall(begun)
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")
    assert metric(push, "closed_clients_total", reason="timeout") == 1


def test_a_request_that_trickles_in_byte_by_byte_is_ended_too(start: Callable[..., Push]) -> None:
    push = start("--request-timeout", "0.5")
    with dial(push) as sock:
        deadline = time.monotonic() + 10
        ended = False
        for byte in b"POST /pub?id=ch HTTP/1.1\r\n" + b"x" * 1000:
            assert time.monotonic() < deadline
            sock.settimeout(0.05)
            try:
                sock.sendall(bytes([byte]))
                ended = bool(sock.recv(100))
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        assert ended


def test_a_full_channel_refuses_until_somebody_leaves(start: Callable[..., Push]) -> None:
    push = start("--max-subscribers-per-channel", "2")
    first, second = Reader(push, "ch"), Reader(push, "other/ch")
    reply = ask(push, "GET", "/ev/ch")
    assert (reply.status, reply.explain) == (403, "Subscribers limit per channel has been exceeded.")
    first.close()
    wait_until(lambda: b'"subscribers": 1}' in ask(push, "GET", "/channels-stats?id=ch").body)
    with Reader(push, "ch"):
        assert ask(push, "GET", "/ev/ch").status == 403
    second.close()


def test_there_are_no_more_channels_than_may_be(start: Callable[..., Push]) -> None:
    push = start("--max-channels", "1")
    publish(push, "a", "x")
    publish(push, "a", "x")
    for reply in (ask(push, "POST", "/pub?id=b", b"x"), ask(push, "GET", "/ev/b"), ask(push, "GET", "/ev/a/b")):
        assert (reply.status, reply.explain) == (403, "Number of channels were exceeded.")
    assert b'"channels": 1,' in ask(push, "GET", "/channels-stats").body


def test_the_count_of_subscribers_is_exact_after_many_came_and_went(push: Push) -> None:
    draw = random.Random(7)
    open_readers: list[Reader] = []
    for _ in range(600):
        if open_readers and draw.random() < 0.5:
            open_readers.pop(draw.randrange(len(open_readers))).close(reset=draw.random() < 0.5)
        else:
            open_readers.append(Reader(push, draw.choice(["a", "b", "a/b"]), wait=draw.random() < 0.5))
    try:
        wait_until(lambda: metric(push, "subscribers") == len(open_readers))
        for channel in "ab":
            count = sum(channel in reader.channels for reader in open_readers)
            assert f'"subscribers": {count}}}'.encode() in ask(push, "GET", f"/channels-stats?id={channel}").body
        ended = metric(push, "ended_subscribers_total", reason="left")
        reset = metric(push, "dropped_subscribers_total", reason="reset")
        assert ended + reset + len(open_readers) == metric(push, "requests_total", route="ev", status="200")
    finally:
        for reader in open_readers:
            reader.close()


def test_a_reader_that_stops_reading_is_dropped_and_counted_and_others_get_all(start: Callable[..., Push]) -> None:
    push = start("--outbox-bytes", "200000")
    memory = resident_bytes(push.service.pid)
    body = b"z" * 20_000
    with Reader(push, "ch") as good, Reader(push, "ch", receive_buffer=4096) as bad:
        for _ in range(500):  # 10 MB
            publish(push, "ch", body)
            assert body in good.until(b"z\n\n")
            good.stream = b""
        assert metric(push, "dropped_subscribers_total", reason="slow") == 1
        assert metric(push, "subscribers") == 1
        assert resident_bytes(push.service.pid) < memory + 4_000_000
        with pytest.raises((h11.RemoteProtocolError, ConnectionError)):  # it can tell that its stream broke off
            bad.to_end()


def test_a_reader_that_leaves_a_little_unread_is_dropped_after_the_time_limit(start: Callable[..., Push]) -> None:
    push = start("--send-timeout", "0.5", "--outbox-bytes", "100000000", "--ping", "0")
    body = b"z" * 60_000
    with Reader(push, "ch", receive_buffer=4096), Reader(push, "other"):
        while metric(push, "outbox_bytes") == 0:
            publish(push, "ch", body)
        wait_until(lambda: metric(push, "dropped_subscribers_total", reason="stalled") == 1)
        assert metric(push, "subscribers") == 1
        assert metric(push, "outbox_bytes") == 0


def test_a_client_that_reads_no_replies_is_not_served_on_and_on(start: Callable[..., Push]) -> None:
    push = start("--send-timeout", "0.5")
    memory = resident_bytes(push.service.pid)
    with dial(push) as sock:
        sock.settimeout(0.5)
        request = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 500_000
        with pytest.raises(OSError, match=r"timed out|reset|[Bb]roken"):
            sock.sendall(request)
        wait_until(lambda: metric(push, "closed_clients_total", reason="unread") == 1)
    assert resident_bytes(push.service.pid) < memory + 8_000_000


def test_publishers_faster_than_the_fan_out_are_held_up_and_nothing_is_lost(start: Callable[..., Push]) -> None:
    push = start("--outbox-bytes", "10000000")
    size, count = 30_000, 100
    post = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    with Reader(push, "ch") as reader:
        socks = [dial(push) for _ in range(count)]
        try:
            wait_until(lambda: metric(push, "connections") == count + 2)
            os.kill(push.service.pid, signal.SIGSTOP)  # so that it finds all of them at one look: 3 MB
            try:
                for sock in socks:
                    sock.sendall(post + b"z" * size)
            finally:
                os.kill(push.service.pid, signal.SIGCONT)
            assert {read_all(sock)[:12] for sock in socks} == {b"HTTP/1.1 200"}
        finally:
            for sock in socks:
                sock.close()
        publish(push, "ch", "end")
        assert reader.until(b"data: end\n\n").count(b"z\n\n") == count
    assert metric(push, "holds_total") >= 1


@pytest.mark.parametrize("last_id", ["\xff\xfe", "a" * 10_000, "'; DROP TABLE", "1:0"])
def test_a_senseless_last_id_is_ignored(push: Push, last_id: str) -> None:
    publish(push, "ch", "x", Event_Id="e")
    with Reader(push, "ch", Last_Event_ID=last_id) as reader:
        publish(push, "ch", "y")
        assert reader.until(b"\n\n") == b": \ndata: y\n\n"


def test_hostile_input_leaves_nothing_behind(push: Push) -> None:
    files = open_files(push.service.pid)
    draw = random.Random(11)
    hostile = [
        b"GET /ev/ch HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /ev/ch HTTP/1.1\r\nHost: h\r\nLast-Event-ID: " + b"y" * 65_536 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 10_000,
        b"GET /ev/%00 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /ev/%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
        *(draw.randbytes(2000) for _ in range(20)),
    ]
    for sent in hostile:
        for reset in (False, True):
            with Reader(push, "ch") as reader:
                reader.sock.sendall(sent)  # and to a subscription too, where it means nothing
            sock = dial(push)
            try:
                sock.sendall(sent)
                sock.settimeout(0.01)
                sock.recv(100)
            except OSError:
                pass
            finally:
                reader.sock = sock
                reader.close(reset=reset)
    assert push.service.alive()
    publish(push, "ch", "x")
    wait_until(lambda: open_files(push.service.pid) == files)
    assert metric(push, "connections") == 1


def test_running_out_of_files_pauses_accepting_and_recovers(start: Callable[..., Push]) -> None:
    push = start()
    used = open_files(push.service.pid)
    resource.prlimit(push.service.pid, resource.RLIMIT_NOFILE, (used + 5, used + 5))
    with Reader(push, "ch") as first:
        socks = [dial(push) for _ in range(12)]
        wait_until(lambda: "no more connections can be accepted now" in push.service.tail())
        for sock in socks[:-1]:
            sock.close()
        with socks[-1] as last:
            last.sendall(b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
            assert read_all(last).startswith(b"HTTP/1.1 200 ")
        assert first.until(b"\n\n") == b": \ndata: hi\n\n"
        assert metric(push, "accept_pauses_total") >= 1


def test_an_address_beyond_loopback_is_refused_unless_said() -> None:
    argv = [sys.executable, "-P", "-m", "realtime_core.push", "--listen", "0.0.0.0:0"]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode == 2
    assert "--public" in refused.stderr
    for listen in ("127.0.0.1", "127.0.0.1:http", ":80", "127.0.0.1:70000"):
        bad = subprocess.run([*argv[:-1], listen], capture_output=True, text=True, timeout=20, check=False)
        assert (bad.returncode, bad.stdout) == (2, "")


def test_a_stopped_server_goes_on_where_it_was(push: Push) -> None:
    with Reader(push, "ch") as reader, dial(push) as sock:
        os.kill(push.service.pid, signal.SIGSTOP)
        try:
            sock.sendall(b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
        finally:
            os.kill(push.service.pid, signal.SIGCONT)
        assert reader.until(b"\n\n") == b": \ndata: hi\n\n"


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
