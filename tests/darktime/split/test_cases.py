"""What a split must withstand: each case in its short form, here or where its part is tested. Full size: test_cases_long.

 1 the dark instance refuses: here (under load, its reasons, nothing left over)
 2 it takes requests and never answers: here; its bounds in test_relay_ears, its timeout in test_long_replies
 3 it is ten times slower: here, with the verdict; what is beyond the bounds in test_relay_ears; with the naive mirror beside it
   in test_first_byte
 4 the relay is killed under load: test_isolation; without the sink in test_guards_removed
 5 the relay is stopped: here; without the sink, and without max_fails, in test_guards_removed
 6 an upload of 100 MB: test_bodies
 7 an upload in chunks, by a slow client: test_bodies
 8 the client leaves: within its body test_bodies, before its answer here, within a stream test_streams
 9 two requests on one connection: test_isolation, with the naive mirror beside it
10 HTTP/1.0 and Connection: close: here, with the naive mirror beside it
11 a ramp up, down and to nobody: test_sampling
12 no key, an empty key: test_sampling; without that part of the gate in test_guards_removed
13 a malformed key: test_sampling, with its log lines; without that part of the gate in test_guards_removed
14 headers that a client makes up, two lengths, a huge header: here; without our lines against them in test_guards_removed
15 WebSocket: here; without that part of the gate in test_guards_removed
16 an EventSource stream: test_streams, its events compared in test_comparison; production's first byte in test_first_byte, with
   the naive mirror beside it
17 the line that ends a stream is lost: test_lost_ends; never told though nothing is lost: here; in any order in test_records
18 methods that change something: test_isolation (none goes), test_bodies (asked for, once); secrets in test_isolation; without
   what keeps them back in test_guards_removed
19 copies lost, doubled and tripled on the way: here, by name
20 agent, relay and Redis killed together: here; the kill file in test_switches; nginx reloaded with streams open: here;
   without the questions for lease and kill file in test_guards_removed
21 many streams on one HTTP/2 connection: with the HTTP/2 front
22 what production sees: test_isolation; without our lines in test_guards_removed
23 the same code on both sides, and a wrong price: here; field by field in test_comparison, judged in verdict/test_judge

And access rules: in somebody's own nginx test_include, in a whole configuration here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import pytest

from darktime.split import levels
from darktime.split.commands import CompareOptions, LedgerNames, agent_command
from darktime.split.compare import Pair
from darktime.split.results import findings_of, settled
from darktime.split.verdict import VerdictSettings, judge
from realtime_core.free_ports import free_port
from realtime_core.ledger import HopBalance, balance, read, wait_balanced
from tests.darktime.split.conftest import CANDIDATE, workers
from tests.darktime.split.pages import Page, Pages
from tests.darktime.split.servers import Client, Quick
from tests.darktime.split.takers import Taker
from tests.darktime.split.taps import CopyTap, LineTap
from tests.support.steady_load import Answer, SteadyLoad, failed, percentile
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.quiet
MIRROR, COMPARED = "mirror>relay", "relay>compared"


@pytest.fixture
def quick() -> Iterator[Quick]:
    """Production that answers at once."""
    one = Quick()
    yield one
    one.stop()


@pytest.fixture
def ledger(valkey: Any, redis_name: str) -> LedgerNames:
    return LedgerNames(url=valkey.url, name=redis_name)


def hops(redis_client: Any, redis_name: str) -> dict[str, HopBalance]:
    return {one.hop: one for one in balance(read(redis_client, redis_name))}


def outcome(split: Any, found: dict[str, HopBalance], margins: VerdictSettings | None = None) -> Any:
    """The verdict on what the relay wrote down."""
    pairs = [Pair.from_record(one) for one in split.pairs()]
    state = json.loads(split.state_path.read_text())
    return judge(pairs, [found[MIRROR], found[COMPARED]], margins, left=state["left"], fields=findings_of(state))


class Faulty:
    """A dark instance with one fault. A context."""

    def __init__(self, fault: str, origin: Callable) -> None:
        self._last = ExitStack()
        if fault == "refuses":
            self.address = f"127.0.0.1:{free_port()}"
        elif fault == "slow":
            dark = origin()
            dark.hang_s = 0.4  # far beyond what a busy machine does to production
            self.address = dark.address
        else:
            taker = Taker(answers=False, hangs_up=fault == "resets")
            self.address = self._last.enter_context(taker).address

    def __enter__(self) -> str:
        return self.address

    def __exit__(self, *_: object) -> None:
        self._last.close()


REASONS = {
    "refuses": {"dark_refused"},
    "resets": {"dark_reset"},
    "hangs": {"expired", "in_flight"},
    "slow": set(),
}


@pytest.mark.parametrize("fault", ["refuses", pytest.param("resets", marks=pytest.mark.long), "hangs", "slow"])
def test_under_load_production_does_not_notice_what_ails_the_dark_instance_and_each_copy_has_its_reason(  # noqa: PLR0917
    make_split: Callable,
    origin: Callable,
    quick: Quick,
    ledger: LedgerNames,
    redis_client: Any,
    redis_name: str,
    fault: str,
) -> None:
    rate, count, most = (100, 200, 0) if fault == "slow" else (250, 300, 0)
    with Faulty(fault, origin) as dark:
        split = make_split(quick.address, mirror_timeout_ms=1_000)  # on a machine that has other things to do as well
        split.start_relay(dark, ledger)
        split.start()
        with SteadyLoad(split.address, rate=rate, seconds=count / rate, connections=8, users=count) as load:
            while load.running():
                most = max(most, split.state().get("in_flight", 0))
            answers = load.answers()
        wait_until(lambda: split.state().get("offered") == count, what="the lines of all")
        if fault != "hangs":
            wait_until(lambda: settled(split.state()), what="each copy's end")
        assert split.relay.stop() == 0
    assert failed(answers) == []
    assert max(one.took_s for one in answers) < 5, "no request waited for the dark instance"
    assert quick.requests == count
    assert most <= 64, "what is under way is bounded"
    found = hops(redis_client, redis_name)
    assert all(one.balanced for one in found.values())
    assert found[MIRROR].sent == count
    assert found[COMPARED].sent == count - found[MIRROR].explained.get("shed_sink", 0) > count / 2
    assert set(found[COMPARED].explained) <= REASONS[fault]
    assert found[COMPARED].explained or fault == "slow"
    assert found[COMPARED].received + sum(found[COMPARED].explained.values()) == found[COMPARED].sent
    verdict = outcome(split, found)
    assert verdict.outcome == ("WAIT" if fault == "hangs" else "NO-GO"), verdict
    if fault == "slow":
        assert any("/page" in reason and "p95" in reason for reason in verdict.reasons), verdict.reasons
        (page,) = verdict.figures["endpoints"]
        assert page["latency"]["excess_ms"] > 300, page


def test_the_same_load_on_a_naive_mirror_waits_for_a_dark_instance_that_hangs(
    make_split: Callable, origin: Callable, quick: Quick
) -> None:
    dark = origin()
    dark.hang_s = 0.5
    split = make_split(quick.address)
    split.start(naive=dark.address)
    with SteadyLoad(split.address, rate=250, seconds=0.08, connections=8) as load:
        assert percentile(load.answers(), 0.9) > 0.5


@pytest.mark.parametrize("mirror", ["ours", "naive"])
def test_who_reads_to_the_end_of_the_connection_does_not_wait_for_the_copy_as_with_a_naive_mirror(
    make_split: Callable, origin: Callable, mirror: str
) -> None:
    production, dark = origin(), origin()
    dark.hang_s = 0.6
    split = make_split(production.address)
    if mirror == "ours":
        split.start_relay(dark.address)
    split.start(naive=dark.address if mirror == "naive" else None)
    for version, line in (("1.0", "X: 1"), ("1.1", "Connection: close")):
        took = []
        for _ in range(1 if mirror == "naive" else 3):
            with split.client() as client:
                began = time.perf_counter()
                request = f"GET /chunked HTTP/{version}\r\nHost: site.example\r\n{CANDIDATE}\r\n{line}\r\n\r\n"
                client.sock.sendall(request.encode())
                data = b"".join(iter(lambda: client.sock.recv(65536), b""))
                took.append(time.perf_counter() - began)
            head = data.partition(b"\r\n\r\n")[0].lower()
            assert b" 203 " in head
            assert b"content-length" not in head
            assert len(data) > 76_800
        assert (min(took) > 0.55) if mirror == "naive" else (min(took) < 0.4), (version, took)


def test_a_stopped_relay_delays_what_was_under_way_and_then_one_request_a_pause_and_its_copies_expire(
    make_split: Callable, origin: Callable
) -> None:
    """nginx waits 0.7 s for the relay here, so that what waits can be told from what a busy machine delays."""
    connections, rate, stopped_s, pause_s = 8, 20, 2.6, 2.0
    production, dark = Quick(), origin()
    try:
        split = make_split(production.address, mirror_timeout_ms=700)
        split.start_relay(dark.address)
        split.start()
        with SteadyLoad(split.address, rate=rate, seconds=stopped_s + 3, connections=connections) as load:
            wait_until(lambda: split.state().get("compared", 0) > 5, what="a first pair")
            split.signal(signal.SIGSTOP)
            began = load.now_s()
            try:
                load.until(began + stopped_s)
            finally:
                split.signal(signal.SIGCONT)
            ended = load.now_s()
            before = sum(dark.asked.values())
            wait_until(lambda: sum(dark.asked.values()) > before + 5, what="copies again")
            answers = load.answers()
        assert failed(answers) == []
        delayed = held_up(answers, 0.2)  # its predecessor's copy holds up the next of the connection, 0.4 s later
        assert delayed, "the relay was stopped"
        assert max(one.took_s for one in delayed) < 1.4, "not as long as it was stopped"
        at_first = [one for one in delayed if one.due_s < began + 1.5]
        assert len(at_first) <= connections + 5, "of five failures on nginx does not ask the relay"
        assert len(delayed) - len(at_first) <= (ended - began) / pause_s + 1
        wait_until(lambda: split.state()["offered"] == len(answers) and settled(split.state()), what="each copy named")
        state = split.state()
        assert state["mirror_reasons"]["shed_sink"] > rate * stopped_s / 2
        assert state["reasons"].get("expired", 0) > 0, "the old ones were not sent in a burst"
        assert sum(dark.asked.values()) == state["compared"]
    finally:
        production.stop()


def held_up(answers: list[Answer], seconds: float) -> list[Answer]:
    return [one for one in answers if one.took_s >= seconds]


def test_a_client_that_leaves_before_its_answer_is_named_and_its_copy_is_let_go(
    make_split: Callable, origin: Callable
) -> None:
    production, dark = origin(), origin()
    production.hang_s = dark.hang_s = 20
    production.hang_on = dark.hang_on = "/slow"
    split = make_split(production.address)
    split.start_relay(dark.address)
    split.start()
    clients = [split.client() for _ in range(20)]
    for client in clients:
        client.send("/slow", CANDIDATE)
    wait_until(lambda: dark.asked["GET /slow"] == 20 and split.state().get("in_flight") == 20, what="twenty copies")
    for client in clients:
        client.close()
    wait_until(lambda: split.state()["reasons"] == {"client_abort": 20}, what="their reason")
    assert (split.state()["in_flight"], split.state()["waiting"]) == (0, 0)
    with split.client() as client:
        client.get("/page", CANDIDATE)
    wait_until(lambda: split.state()["compared"] == 1, what="the next")


def test_no_header_of_a_client_makes_it_sampled_nor_comes_to_production_as_if_it_were_ours(
    make_split: Callable, origin: Callable, quick: Quick
) -> None:
    production = origin()
    split = make_split(production.address)
    relay = Quick(split.settings.relay_socket)
    made_up = [
        "X-Darktime-User: u1", f"X-Darktime-Id: {'f' * 32}", "X-Darktime-Version: 1", "X-Darktime-At: 1.000",
        "X-Darktime-Stripped: 1", "X-Darktime-Body: 1", f"X-Request-Id: {'f' * 32}", "X-Darktime_User: u1",
        "X_Darktime_Id: 1", "x_darktime-stripped: 1", "X_Darktime-Body: 1", "X-Darktime_At: 1", "X_DARKTIME_VERSION: 1",
    ]  # fmt: skip
    try:
        split.start()
        with split.client() as client:
            assert b" 200 " in client.get("/nobody", *made_up)[0]
            assert b" 200 " in client.get("/nobody", "X-Darktime: 1", CANDIDATE)[0]
            assert b" 200 " in client.get("/nobody", "X_Darktime: 1", CANDIDATE)[0]
            assert b" 200 " in client.get("/huge", CANDIDATE, "X-Huge: " + "x" * 60_000)[0]
            assert b" 200 " in client.get("/page", CANDIDATE, *made_up)[0]
        for lines in (
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Content-Length: 5", "Content-Length: 6"],
            ["Transfer-Encoding: chunked, identity"],
            ["X-Beyond: " + "x" * 70_000],
        ):
            with split.client() as client:
                client.send("/smuggled", CANDIDATE, *lines, method="POST")
                with suppress(OSError):
                    client.sock.sendall(b"0\r\n\r\nGET /inner HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.sock.recv(65536).split(b" ")[1][:2] in {b"40", b"50"}
        wait_until(lambda: relay.requests >= 2, what="copies of the two that are sampled")
        assert (relay.targets, dict(relay.users)) == (["/huge", "/page"], {"u1": 2})
        assert "f" * 32 not in relay.ids
    finally:
        relay.stop()
    assert production.targets == ["/nobody", "/nobody", "/nobody", "/huge", "/page"]
    for head in production.heads:
        # WSGI and CGI take - and _ for the same: code that spares copies its mails must not be told that this is one.
        assert not any(name.replace("_", "-").startswith("x-darktime") for name in head)
    assert production.heads[-1]["x-request-id"] == "f" * 32, "what is not ours is production's own affair"


class Upgraded:
    """Says 101 to whoever wants to change the protocol, and sends each byte back. A context."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self.heads: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                with link:
                    link.settimeout(5)
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        head += link.recv(4096) or b"\r\n\r\n"
                    self.heads.append(head)
                    link.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                    )
                    while data := link.recv(4096):
                        link.sendall(data)


def test_a_websocket_is_production_s_alone_and_works_as_before(make_split: Callable) -> None:
    with Upgraded() as production:
        split = make_split(production.address)
        relay = Quick(split.settings.relay_socket)
        try:
            split.start()
            with split.client() as client:
                client.send(
                    "/socket", CANDIDATE, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: eA=="
                )
                assert client.sock.recv(4096).startswith(b"HTTP/1.1 101 ")
                for frame in (b"\x81\x05hello", os.urandom(100), b"\x89\x00"):
                    client.sock.sendall(frame)
                    got = b""
                    while len(got) < len(frame):
                        got += client.sock.recv(4096)
                    assert got == frame
            assert b"\r\nUpgrade: websocket\r\n" in production.heads[0]
            with split.client() as client:
                client.send("/page", CANDIDATE)
                wait_until(lambda: relay.targets, what="the copy of a later request")
            assert relay.targets == ["/page"]
        finally:
            relay.stop()


def test_a_stream_whose_end_nobody_told_is_closed_after_its_longest_time_and_named(
    own_relay: Callable, origin: Callable
) -> None:
    dark = origin()
    relay = own_relay(dark.address, stream_life_s=1.5, line_wait_s=0.2)
    began = time.monotonic()
    for number in range(3):
        relay.copy(number, "/ev/thread:1")
    wait_until(lambda: dark.streams == relay.state["streams"] == 3, what="three streams")
    relay.line(0)
    wait_until(lambda: relay.state["compared"] == 1, what="the one whose end was told")
    wait_until(lambda: dark.streams == 2, what="its end")
    wait_until(lambda: relay.state["streams"] == 0 and dark.streams == 0, what="the end of the others")
    assert time.monotonic() - began > 1.4, "longer than what is no stream"
    assert relay.state["reasons"] == {"expired": 2}, "no line was lost: production may be at it still"
    assert (relay.state["offered"], relay.state["waiting"]) == (3, 0), "they were sent: only the line is missing"


def lose_and_repeat(count: int) -> dict[int, int]:
    """The how manieth copy goes how often: seven never, three twice, one thrice, spread over all."""
    step = count // 12
    return {(at + 1) * step: 0 if at < 7 else 2 if at < 10 else 3 for at in range(11)}


def accounted(  # noqa: PLR0917 - fixtures
    make_split: Callable,
    quick: Quick,
    ledger: LedgerNames,
    redis_client: Any,
    redis_name: str,
    count: int,
    clients: int,
) -> None:
    """Of so many copies seven are lost, three doubled, one tripled between nginx and the relay: exactly these are named."""
    faults, done, lock, given = lose_and_repeat(count), {}, threading.Lock(), iter(range(count + 1))

    def times(name: str) -> int:
        with lock:
            often = faults.get(next(given), 1)
        if often != 1:
            done[name] = often
        return often

    dark = Quick()
    split = make_split(quick.address, mirror_timeout_ms=5_000)
    split.ears = replace(split.settings, relay_socket=split.folder / "ears.sock")
    try:
        split.start_relay(dark.address, ledger)
        with CopyTap(split.settings.relay_socket, split.ears.relay_socket, times):
            split.start()

            def ask(part: int) -> None:
                with split.client() as client:
                    client.pipeline("/page", [f"Cookie: uid=u{number % 500}" for number in range(part)])

            askers = [threading.Thread(target=ask, args=(count // clients,)) for _ in range(clients)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            wait_until(lambda: split.state()["offered"] == count, timeout_s=20, what="all lines")
            # A line without a copy is let go after two seconds.
            wait_until(lambda: split.state()["waiting"] == 0, timeout_s=10, what="nothing waiting")
            found = {one.hop: one for one in wait_balanced(redis_client, redis_name, timeout_s=5, hops=[COMPARED])}
            state = split.state()
            assert split.relay.stop() == 0
    finally:
        dark.stop()
    assert (state["log_lost"], state["duplicates"], state["received"]) == (0, 5, count - 7)
    found = hops(redis_client, redis_name)
    kept = int(redis_client.hget(f"led1:{{{redis_name}}}:counters", "names"))
    assert kept == count, "each name once: the ledger remembers the last 100,000"
    lost, extra = found[MIRROR].missing, found[MIRROR].extra
    assert {one.id for one in lost} == {name for name, often in done.items() if often == 0}
    assert {(one.id, one.times) for one in extra} == {(name, often - 1) for name, often in done.items() if often > 1}
    assert (len(lost), len(extra), found[MIRROR].undecoded) == (7, 4, 0)
    # The net alone would say two: seven lost, five too many.
    assert (found[MIRROR].sent, found[MIRROR].received) == (count, count - 7 + 3 + 2)
    assert found[MIRROR].sent - found[MIRROR].received == 2
    assert found[COMPARED].balanced
    assert found[COMPARED].sent == found[COMPARED].received == count - 7 == dark.requests
    said = " ".join(judge([], found.values()).reasons)
    assert "7 went missing" in said
    assert "4 came too often" in said
    assert all(name in said for name in done)


def test_copies_that_are_lost_doubled_and_tripled_are_named_and_no_other(
    make_split: Callable, quick: Quick, ledger: LedgerNames, redis_client: Any, redis_name: str
) -> None:
    accounted(make_split, quick, ledger, redis_client, redis_name, 1_200, 3)


def test_with_agent_relay_and_redis_killed_together_production_goes_on_and_copies_end_with_the_lease(
    make_split: Callable, quick: Quick, stack: Any, origin: Callable
) -> None:
    redis = stack.valkey(name="own")
    split = make_split(quick.address, slot_s=1)
    split.start_relay(origin().address, LedgerNames(url=redis.url, name="t"))
    split.start(lease=False)
    command = agent_command(split.settings, split.folder, ttl_s=60)
    agent = stack.start("agent", command.argv, ready=command.ready_line)
    with SteadyLoad(split.address, rate=200, seconds=3.6, connections=4) as load:
        wait_until(lambda: split.state().get("compared", 0) > 50, what="copies")
        for pid in (agent.pid, split.relay.pid, redis.service.pid):
            os.kill(pid, signal.SIGKILL)
        killed = load.now_s()
        wait_until(lambda: not split.relay.alive(), what="the relay's end")
        with LineTap(split.settings) as tap:
            wait_until(lambda: len(tap.sunk) > 5, what="copies that the sink took")
            wait_until(lambda: not levels.leased(split.folder, time.time(), 1), what="the end of the lease")
            load.until(killed + 2.2)
            time.sleep(0.05)  # a request that was let in before may still write its line
            ended = (len(tap.lines), len(tap.sunk))
            answers = load.answers()
            assert (len(tap.lines), len(tap.sunk)) == ended, "no copy, and no line, after two slots"
    assert failed(answers) == []
    assert quick.requests == len(answers) == 720


def streams_over_a_reload(split: Any, production: Any, dark: Any, count: int) -> None:
    """nginx is told to read its configuration again while so many streams are open."""
    clients = [split.client() for _ in range(count)]
    try:
        for client in clients:
            client.send("/ev/thread:1", CANDIDATE, "Accept: text/event-stream")
        wait_until(lambda: dark.streams == production.streams == count, timeout_s=10, what="all streams")
        for client in clients:
            client.sock.settimeout(5)
            assert b"text/event-stream" in client.sock.recv(65536)
        pid = int((split.folder / "nginx.pid").read_text())
        before = set(workers(pid))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: set(workers(pid)) - before, what="a new worker")
        with split.client() as client:
            assert b" 200 " in client.get("/page", CANDIDATE)[0]
        wait_until(lambda: split.state()["compared"] == 1, what="its copy")
        production.events.append(b"after the reload")
        for client in clients:
            got = b""
            while b"after the reload" not in got:
                piece = client.sock.recv(65536)
                assert piece, "a production connection was cut"
                got += piece
        assert dark.streams == production.streams == count
        assert before <= set(workers(pid)), "the old worker holds them"
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: dark.streams == production.streams == 0, timeout_s=10, what="the end of all")
    wait_until(lambda: split.state()["compared"] == count + 1, what="all pairs")


def test_a_reload_of_nginx_cuts_no_stream_and_its_copies_go_on(make_split: Callable, origin: Callable) -> None:
    production, dark = origin(), origin()
    split = make_split(production.address, mirror_timeout_ms=5_000)
    split.start_relay(dark.address)
    split.start()
    streams_over_a_reload(split, production, dark, 40)


RULES = """http {
  limit_req_zone $darktime_test_slow zone=slow:1m rate=1r/m;
  map $request_uri $darktime_test_slow { default ""; "~^/slow" $arg_zone; }
  map $request_uri $darktime_test_realm { default off; "~^/basic" ours; }
  map $request_uri $darktime_test_asked { default 204; "~^/asked" 403; }
"""
RULED = """
    deny 127.0.0.2;
    auth_basic $darktime_test_realm; auth_basic_user_file /dev/null;
    auth_request /permission;
    limit_req zone=slow;
"""
ASKED = (
    "location = /permission { auth_request off; internal; if ($darktime_test_asked = 403) { return 403; } return 204; }"
)
REFUSED = {"/denied": b" 403 ", "/basic": b" 401 ", "/asked": b" 403 ", "/slow": b" 503 "}


@pytest.mark.parametrize("where", ["server", "location"])
def test_a_rule_of_the_whole_server_refuses_the_sampled_as_all_others_and_no_refused_request_is_copied(
    make_split: Callable, quick: Quick, where: str
) -> None:
    """In the location itself a rule would come after the gate, which is why that is never put into somebody's own."""
    split = make_split(quick.address)

    def ruled(text: str) -> str:
        server, location = f"    listen {split.settings.listen};\n", "    location / {\n"
        assert text.count(server) == text.count(location) == 1
        text = text.replace("http {\n", RULES).replace(server, server + ASKED)
        place = server if where == "server" else location
        return text.replace(place, place + RULED)

    relay = Quick(split.settings.relay_socket)
    try:
        split.start(changed=ruled)
        said: dict[str, list[bytes]] = {}
        for who, line in (("sampled", CANDIDATE), ("other", "X-Nobody: 1")):
            for path in ("/slow", *REFUSED, "/page"):
                source = "127.0.0.2" if path == "/denied" else "127.0.0.1"
                with Client(split.address, source=source) as client:
                    head, body = client.get(f"{path}?zone={who}", line)
                    said.setdefault(who, []).append(head.split(b"\r\n")[0] + body)
        if where == "server":
            assert said["sampled"] == said["other"]
            for one, status in zip(said["other"][1:], REFUSED.values(), strict=False):
                assert status in one
            wait_until(lambda: relay.requests == 2, what="the two copies")
            assert [one.partition("?")[0] for one in relay.targets] == ["/slow", "/page"]
            assert quick.requests == 4
        else:
            assert all(b" 200 " in one for one in said["sampled"])
    finally:
        relay.stop()


def goods(price: float, wrong_every: int = 0) -> Callable[[str], Page]:
    """A page with an id of its own and a time; every so manieth product has another price."""

    def make(path: str) -> Page:
        number = int(path.rpartition("/")[2] or 0)
        body = {
            "request": str(uuid.uuid4()),
            "at": time.time(),
            "name": f"product {number}",
            "price": price - 0.1 if wrong_every and number % wrong_every == 0 else price,
        }
        return Page(json.dumps(body).encode())

    return make


def compared_with_todays(
    make_split: Callable,
    ledger: LedgerNames,
    redis_client: Any,
    redis_name: str,
    *,
    wrong_every: int,
    count: int,
    rate: int,
    users: int,
    margins: VerdictSettings,
) -> Any:
    """The verdict on a dark side that runs today's code, but for a price; and the relay's state at its end."""
    sides = [Pages(goods(9.5)), Pages(goods(9.5, wrong_every)), Pages(goods(9.5))]
    production, dark, secondary = sides
    compare = CompareOptions(secondary=f"http://{secondary.address}", share=1.0, per_s=10_000.0).words()
    try:
        split = make_split(production.address, mirror_timeout_ms=5_000)
        split.start_relay(dark.address, ledger, *compare)
        split.start()
        with SteadyLoad(
            split.address, rate=rate, seconds=count / rate, connections=4, users=users, path="/product/%"
        ) as load:
            assert failed(load.answers()) == []
        wait_until(
            lambda: split.state()["offered"] == count and settled(split.state()), timeout_s=20, what="all of them"
        )
        assert split.relay.stop() == 0
    finally:
        for side in sides:
            side.stop()
    found = hops(redis_client, redis_name)
    assert all(one.balanced for one in found.values())
    return outcome(split, found, margins), json.loads(split.state_path.read_text())


def told_of_goods(verdict: Any, state: dict[str, Any], wrong: int) -> None:
    """Of the same code nothing is told but what differs by nature; of a wrong price its field, and nothing else."""
    reported = [(one["path"], one["raw"], one["noise"]) for one in state["fields"] if one["reported"]]
    assert {one["path"] for one in state["fields"] if one["masked"]} == {"request", "at"}
    assert state["comparison"]["compared"] == state["compared"]
    if wrong:
        assert reported == [("price", wrong, 0)]
        assert verdict.outcome == "NO-GO"
        assert any("price" in reason for reason in verdict.reasons), verdict.reasons
    else:
        assert reported == []
        assert [one["path"] for one in state["fields"] if not one["masked"]] == []
        assert verdict.outcome == "GO", verdict


@pytest.mark.parametrize("wrong_every", [0, 10], ids=["same-code", "wrong-price"])
def test_the_same_code_is_a_go_and_a_wrong_price_a_no_go_that_names_it(
    make_split: Callable, ledger: LedgerNames, redis_client: Any, redis_name: str, wrong_every: int
) -> None:
    # So few pairs bound no error to a thousandth, and on a busy machine no time.
    margins = VerdictSettings(error_margin=0.1, difference_margin=0.1, latency_slack_s=5.0, coverage=0.5)
    count = 200
    found = compared_with_todays(
        *(make_split, ledger, redis_client, redis_name),
        wrong_every=wrong_every,
        count=count,
        rate=200,
        users=count,
        margins=margins,
    )
    told_of_goods(*found, wrong=count // wrong_every if wrong_every else 0)
