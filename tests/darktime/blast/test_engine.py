"""A blast as it is run: a process of its own, against real instances and against sockets that misbehave."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from tests.realtime_core.push.client import metric

pytestmark = pytest.mark.quiet


def blast(instance, *words, timeout=40):
    done = subprocess.run(
        [sys.executable, "-m", "darktime.blast", "--instance", instance, *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done, json.loads(done.stdout) if done.stdout else None


@contextmanager
def server(answer):
    """HOST:PORT of a server that gives every connection, in a thread of its own, to ``answer``."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:

        def guarded(link):
            with link, suppress(OSError):
                answer(link)

        def serve():
            while True:
                try:
                    link, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=guarded, args=(link,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(link):
    while link.recv(65_536):
        link.sendall(OK)


def test_every_publish_and_every_delivery_is_accounted_for_by_both_sides(stack):
    push = stack.push("push")
    done, result = blast(
        f"{push.host}:{push.port}", "--rate", "200", "--duration", "2", "--streams", "30", "--channels", "6"
    )
    assert done.returncode == 0, done.stderr
    totals = result["totals"]
    assert totals["requests"] == 400 == result["locust"]["requests"]
    assert totals["deliveries"] == 400 * 5
    assert (totals["failures"], totals["lost"], totals["duplicated"]) == (0, 0, 0)
    assert metric(push, "published_total") == 400
    assert metric(push, "deliveries_total") == 2000


def test_latency_is_measured_from_the_planned_time_so_a_stall_shows_in_all_who_waited_for_it():
    stalled = threading.Lock()
    state = {"requests": 0}

    def stalling(link):
        while link.recv(65_536):
            with stalled:  # one at a time: while one is held up, all are
                state["requests"] += 1
                if state["requests"] == 40:
                    time.sleep(1.0)
            link.sendall(OK)

    with server(stalling) as instance:
        done, result = blast(
            instance, "--path", "/", "--rate", "100", "--duration", "3", "--connections", "4", "--slo", "p99<5000ms"
        )
    assert result["totals"]["requests"] == 300, done.stderr
    # 100 requests were due while nothing moved: a third of all, with 1 s of wait at most and half of it on average.
    assert result["latency"]["max_ms"] >= 950
    assert result["latency"]["p90_ms"] >= 300


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda link: link.recv(1), "closed"),
        (lambda link: (link.recv(65_536), link.sendall(b"nonsense\r\n\r\n")), "malformed"),
        (lambda link: (link.recv(65_536), link.sendall(OK[:-1]), time.sleep(0.05)), "closed"),
        (lambda link: (link.recv(65_536), time.sleep(30)), "timeout"),
    ],
    ids=["closes", "nonsense", "cut", "hangs"],
)
def test_an_instance_that_misbehaves_fails_by_name_and_holds_nothing_up(answer, reason):
    with server(answer) as instance:
        began = time.monotonic()
        done, result = blast(
            instance,
            *("--path", "/", "--rate", "100", "--duration", "2", "--connections", "20", "--timeout", "0.5"),
        )
        assert time.monotonic() - began < 25
    assert done.returncode == 3, done.stderr
    assert result["totals"]["failures"] > 0
    assert result["totals"]["failures"] == result["locust"]["failures"]
    reasons = {name for probe in result["probes"] for name in probe["reasons"]}
    assert reasons & NAMES[reason], reasons
    assert "did not hold" in result["sentence"]


NAMES = {
    "closed": {"closed", "reset", "cut_off", "unfinished"},
    "malformed": {"not_http"},
    "timeout": {"timeout", "unfinished"},
}


def test_an_instance_that_only_errs_is_left_in_peace_within_two_seconds():
    served = []

    def erring(link):
        while link.recv(65_536):
            served.append(time.monotonic())
            link.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    with server(erring) as instance:
        done, _ = blast(instance, "--path", "/", "--rate", "500", "--duration", "20", "--connections", "10")
    assert done.returncode == 3
    assert served[-1] - served[0] < 2 + 1


def test_what_still_waits_when_the_error_limit_trips_is_never_sent():
    served = []

    def erring_slowly(link):
        while link.recv(65_536):
            served.append(time.monotonic())
            time.sleep(0.02)
            link.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    with server(erring_slowly) as instance:
        done, result = blast(
            instance, *("--path", "/", "--rate", "1000", "--duration", "20", "--connections", "1", "--timeout", "9")
        )
    assert done.returncode == 3
    assert served[-1] - served[0] < 2.5
    assert len(served) == result["totals"]["requests"] < 150, "50 a second for two seconds, and none of those behind"


def test_a_search_finds_the_limit_of_an_instance_that_has_one():
    turn = threading.Lock()

    def slow(link):
        while link.recv(65_536):
            with turn:
                time.sleep(0.002)
            link.sendall(OK)

    with server(slow) as instance:
        done, result = blast(
            instance, *("--path", "/", "--duration", "12", "--connections", "20", "--slo", "p99<100ms,errors<1%")
        )
    assert result["limit"] == "instance", (done.stderr, result["sentence"])
    low, high = result["capacity"]["highest_pass_per_s"], result["capacity"]["lowest_fail_per_s"]
    assert 0 < (low or 1) < high <= 1000, "it takes 2 ms a request, one at a time"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--instance", "ftp://127.0.0.1:1"], "http://"),
        (["--instance", "127.0.0.1:1", "--insecure"], "https://127.0.0.1:1"),
        (["--instance", "https://127.0.0.1:1", "--insecure", "--cacert", "ca.pem"], "leave one out"),
        (["--instance", "127.0.0.1:1", "--rate", "0"], "--rate 0"),
        (["--instance", "127.0.0.1:1", "--rate", "nan"], "--rate nan"),
        (["--instance", "127.0.0.1:1", "--rate", "100", "--max-rate", "nan"], "--max-rate nan"),
        (["--instance", "127.0.0.1:1", "--duration", "inf"], "--duration inf"),
        (["--instance", "127.0.0.1:1", "--timeout", "0"], "--timeout 0"),
        (["--instance", "127.0.0.1:1", "--slo", "quick"], "quick"),
    ],
)
def test_what_may_not_or_cannot_be_is_refused_with_exit_2_in_one_line(words, named):
    done = subprocess.run(
        [sys.executable, "-m", "darktime.blast", *words], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_more_sockets_than_the_process_may_have_are_refused_before_one_is_opened():
    with server(answering) as instance:
        done, _ = blast(instance, "--path", "/", "--connections", "99999999")
    assert done.returncode == 2
    assert "99,999,999 sockets need" in done.stderr
