"""Publishing to real push servers, to a real nginx with nchan, and to sockets that misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.free_ports import free_port
from realtime_core.publish import Box, Event, Fleet, event_of
from realtime_core.stack import find_nginx
from tests.realtime_core.push.client import Reader, browser_events, metric
from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from realtime_core.publish import Outcome
    from realtime_core.stack import Stack

AT = 1_700_000_000.125


def events(count: int, channel: str = "thread:1") -> list[Event]:
    return [event_of([(channel, f"e-{number}")], AT, {"number": number})[0] for number in range(count)]


@contextmanager
def misbehaving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that hands every connection to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                with link:
                    answer(link)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def reasons(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.reason for outcome in outcomes]


def test_every_box_gets_every_event_in_order_under_the_same_id_over_one_connection(stack: Stack) -> None:
    pushes = [stack.push("one"), stack.push("two")]
    boxes = [Box(push.service.name, push.url) for push in pushes]
    fleet = Fleet(boxes)
    with Reader(pushes[0], "thread:1") as one, Reader(pushes[1], "thread:1") as two:
        sent = events(300)
        for start in (0, 100, 200):
            outcomes = fleet.publish(sent[start : start + 100])
            assert [reasons(of_box) for of_box in outcomes.values()] == [[None] * 100] * 2
        for reader in (one, two):
            seen = browser_events(reader.until(b'"number":299}\n\n'))
            assert [event.id for event in seen] == [event.id for event in sent]
            assert [json.loads(event.data)["number"] for event in seen] == list(range(300))
    assert [box.connections for box in boxes] == [1, 1]
    fleet.close()


def test_a_box_that_is_gone_holds_up_no_other_and_its_events_come_when_it_is_back(stack: Stack) -> None:
    well, port = stack.push("well"), free_port()
    late: list[tuple[str, list[str | None]]] = []
    fleet = Fleet(
        [Box("well", well.url), Box("gone", f"http://127.0.0.1:{port}", required=False)],
        late=lambda box, _events, outcomes: late.append((box, reasons(list(outcomes)))),
    )
    began = time.monotonic()
    assert reasons(fleet.publish(events(5))["well"]) == [None] * 5
    assert time.monotonic() - began < fleet.longest_s
    fleet.close()
    assert late == [("gone", ["refused"] * 5)]
    assert fleet.metrics.value("gone", "refused") == 5
    assert fleet.metrics.value("well", "accepted") == 5


def test_a_required_box_that_comes_back_within_the_hold_gets_everything(stack: Stack) -> None:
    import gevent

    port = free_port()
    fleet = Fleet([Box("late", f"http://127.0.0.1:{port}")], hold_s=10.0)
    publishing = gevent.spawn(fleet.publish, events(3))
    gevent.sleep(0.1)
    assert not publishing.ready()
    stack.push("late", listen=("127.0.0.1", port))
    assert reasons(publishing.get(timeout=12)["late"]) == [None] * 3
    fleet.close()


def test_a_box_that_hangs_costs_its_time_limit_and_is_then_left_alone() -> None:
    with misbehaving(lambda link: (link.settimeout(5), link.recv(10_000), link.recv(1))[0]) as url:
        fleet = Fleet([Box("hung", url, timeout_s=0.2)], hold_s=0.0)
        assert [reasons(fleet.publish(events(1))["hung"]) for _ in range(3)] == [["timeout"]] * 3
        began = time.monotonic()
        assert reasons(fleet.publish(events(1))["hung"]) == ["breaker_open"]
        assert time.monotonic() - began < 0.2
        assert not fleet.ready()
        fleet.close()


def test_a_box_that_answers_questions_but_takes_no_event_is_well_only_once_it_takes_one() -> None:
    taking = threading.Event()
    asked: list[bytes] = []

    def answer(link: socket.socket) -> None:
        while request := link.recv(10_000):
            asked.append(request)
            well = request.startswith(b"GET") or taking.is_set()
            link.sendall(OK if well else b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n")

    with misbehaving(answer) as url:
        fleet = Fleet([Box("full", url)], hold_s=0.0)
        assert [reasons(fleet.publish(events(1))["full"]) for _ in range(3)] == [["status_5xx"]] * 3
        wait_until(lambda: len(asked) > 3 or fleet.ready(), what="a probe")
        assert not fleet.ready()
        assert all(b"thread:1" in request for request in asked[:3])
        assert not any(b"thread:1" in request for request in asked[3:]), "no channel of anybody's"
        taking.set()
        wait_until(fleet.ready, what="a probe that is taken")
        fleet.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (OK + OK[:20], [None, "reset"]),
        (b"220 smtp ready\r\n\r\n", ["reset", "reset"]),
        (OK + b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", [None, "status_5xx"]),
        (OK + b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", [None, "status_4xx"]),
        (b"HTTP/1.1 204 Nothing\r\n\r\n" + OK, ["status_2xx", None]),
    ],
)
def test_an_answer_counts_for_its_own_event_and_what_is_cut_or_senseless_for_none(
    said: bytes, expected: list[str | None]
) -> None:
    def answer(link: socket.socket) -> None:
        link.recv(100_000)
        link.sendall(said)

    with misbehaving(answer) as url:
        box = Box("odd", url, timeout_s=2.0)
        assert reasons(box.publish(events(2))) == expected
        box.close()


def test_a_line_that_is_full_sheds_and_says_so_and_the_publisher_never_waits() -> None:
    late: list[str | None] = []
    with misbehaving(lambda link: (link.settimeout(5), link.recv(10_000), link.recv(1))[0]) as url:
        fleet = Fleet(
            [Box("slow", url, required=False, timeout_s=0.3)],
            late=lambda _box, _events, outcomes: late.extend(reasons(list(outcomes))),
            line_events=10,
        )
        assert fleet.publish(events(25)) == {}
        assert late == ["shed"] * 15
        fleet.close(timeout_s=2.0)
    assert late.count("shed") + late.count("timeout") == 25
    assert fleet.metrics.value("slow", "shed") == late.count("shed")


def test_an_event_that_is_too_big_is_never_sent_and_its_neighbours_are(stack: Stack) -> None:
    push = stack.push("push")
    box = Box("push", push.url, max_bytes=200)
    big = event_of([("thread:1", "e-big")], AT, {"text": "x" * 300})[0]
    first, last = events(2)
    outcomes = box.publish([first, big, last])
    assert reasons(outcomes) == [None, "too_big", None]
    assert str(outcomes[1]) == f"too_big ({len(big.line)} bytes, this box's max_bytes is 200)"
    assert metric(push, "published_total") == 2
    box.close()


@pytest.mark.engine("nginx-nchan")
def test_nchan_takes_the_same_events_and_tells_how_many_subscribers_it_has(stack: Stack, tmp_path: Path) -> None:
    module = require_engine("nginx-nchan")
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"load_module {module};\ndaemon off;\npid {tmp_path}/nginx.pid;\nerror_log stderr;\nuser root;\n"
        "events {}\nhttp { access_log off;\n"
        + "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"server {{ listen 127.0.0.1:{port};\n"
        "location = /pub { nchan_publisher; nchan_channel_id $arg_id; }\n"
        "location ~ ^/ev/(.+)$ { nchan_subscriber eventsource; nchan_channel_id $1; }\n} }\n"
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    nginx = require_engine("nginx")
    stack.start("nchan", [str(find_nginx(nginx).path), "-c", str(config), "-p", str(tmp_path)], ready=answers)
    box = Box("nchan", f"http://127.0.0.1:{port}", dialect="nchan")
    [alone] = box.publish(events(1))
    assert (alone.accepted, alone.subscribers) == (True, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as reader:
        reader.sendall(b"GET /ev/thread:2 HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
        assert b"200 OK" in reader.recv(4096)
        outcomes = box.publish(events(3, "thread:2"))
        got = b""
        while b'"number":2}' not in got:
            got += reader.recv(65_536)
    assert [(outcome.accepted, outcome.subscribers) for outcome in outcomes] == [(True, 1)] * 3
    assert got.count(b"data: ") == 3
    box.close()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Box("b", "https://127.0.0.1:1"),
        lambda: Box("b", "http://127.0.0.1:99999"),
        lambda: Box("b", "http://h", dialect="pigeon"),
        lambda: Box("b", "http://h", timeout_s=0),
        lambda: Fleet([]),
        lambda: Fleet([Box("b", "http://h"), Box("b", "http://i")]),
        lambda: event_of([("no spaces", "e-1")], AT, {"a": 1}),
        lambda: event_of([("c", "id\r\nX: y")], AT, {"a": 1}),
    ],
    ids=["https", "port", "dialect", "time limit", "no box", "same name", "channel", "id"],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError):
        wrong()
