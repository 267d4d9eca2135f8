"""Ends: of the server, and of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.realtime_core.push.client import Reader, ask, browser_events, dial, publish
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Push


def test_a_stop_sends_what_was_taken_in_and_a_clean_end_to_everyone(push: Push) -> None:
    readers = [Reader(push, "ch") for _ in range(200)]
    try:
        with dial(push) as sock:
            post = b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nEvent-Id: %d\r\nContent-Length: 1\r\n\r\nx"
            sock.sendall(b"".join(post % number for number in range(200)))
            answered = b""
            while answered.count(b"HTTP/1.1 200") < 200:
                answered += sock.recv(65_536)
            assert push.service.stop(4.0) == 0  # 2 s is the promise, on a machine that is not busy
        for reader in readers:
            assert [event.id for event in browser_events(reader.to_end())] == [str(number) for number in range(200)]
    finally:
        for reader in readers:
            reader.close()


def test_a_stopped_server_takes_no_more_connections(start: Callable[..., Push]) -> None:
    push = start()
    assert push.service.stop() == 0
    try:
        dial(push).close()
    except ConnectionRefusedError:
        return
    raise AssertionError("somebody still listens")


def test_a_deleted_channel_says_so_and_ends_for_those_who_have_no_other(start: Callable[..., Push]) -> None:
    push = start("--admin", "--store", "5")
    assert ask(push, "DELETE", "/pub?id=ch").status == 404
    with Reader(push, "ch") as only, Reader(push, "ch/other") as both:
        publish(push, "ch", "x")
        reply = ask(push, "DELETE", "/pub?id=ch/absent")
        assert (reply.status, reply.explain, reply.body) == (200, "Channel deleted.", b"")
        assert only.to_end() == b": \ndata: x\n\ndata: Channel deleted\n\n"
        both.until(b"data: Channel deleted\n\n")
        publish(push, "ch", "nobody is left here")
        publish(push, "other", "y")
        assert both.until(b"y\n\n") == only.stream + b"data: y\n\n"
        assert ask(push, "DELETE", "/pub?id=ch").status == 200
        assert ask(push, "DELETE", "/pub?id=ch").status == 404
        wait_until(lambda: b'"subscribers": 1}' in ask(push, "GET", "/channels-stats?id=other").body)
    assert ask(push, "HEAD", "/pub?id=ch").headers["allow"] == "GET, POST, PUT, DELETE"
