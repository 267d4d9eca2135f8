"""Leases of jobs that take longer than a lease: kept while the work goes on, given up when it hangs."""

from __future__ import annotations

import _thread
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.queue import Finish, Job, Queue, Renewal
from realtime_core.queue import renewal as module
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

    MakeQueue = Callable[..., Queue]

LEASE_S = 0.4
CONSUMER = """
    import sys
    url, name, patched, progress_timeout_s, seconds = sys.argv[1:]
    if patched == "patched":
        from gevent import monkey
        monkey.patch_all()
    import ctypes, threading, time
    from redis import Redis
    from realtime_core.queue import Finish, Queue, Renewal

    assert patched == "patched" or "gevent" not in sys.modules
    seconds = float(seconds)
    with Redis.from_url(url) as redis:
        queue = Queue(redis, name, lease_s=0.4)
        (claim,) = queue.claim("long", 1)
        renewal = Renewal(queue, progress_timeout_s=float(progress_timeout_s) or None)
        print("claimed", flush=True)
        with renewal.holding([claim]):
            {work}
        renewal.close()
        print(queue.settle([Finish(claim)]).done, renewal.hung, renewal.lost, flush=True)
        sys.stdin.readline()
"""
BURN = """
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                sum(range(1000))
"""
MARK = """
            for _ in range(int(seconds * 10)):
                time.sleep(0.1)
                renewal.progress([claim])
"""
HANG = """
            time.sleep(seconds)
"""
GIL = """
            ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL keeps the interpreter's lock, as a bad extension does
"""


class Consumer:
    """A process that has one job in hand."""

    def __init__(
        self, valkey: Valkey, name: str, work: str, *, seconds: float, patched: bool = False, progress: float = 0.0
    ) -> None:
        code = textwrap.dedent(CONSUMER.replace("            {work}", work.strip("\n")))
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                valkey.url,
                name,
                "patched" if patched else "plain",
                str(progress),
                str(seconds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "claimed\n"

    def end(self) -> list[int]:
        """What it settled, what it found hung and lost."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.communicate("\n", timeout=10)
        assert self.process.returncode == 0
        return [int(word) for word in line.split()]


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
def test_a_job_that_burns_cpu_for_five_leases_runs_once(
    valkey: Valkey, make_queue: MakeQueue, *, patched: bool
) -> None:
    queue = make_queue(lease_s=LEASE_S)
    queue.put([Job(id="a", body=b"")])
    consumer = Consumer(valkey, queue.name, BURN, seconds=5 * LEASE_S, patched=patched)
    assert queue.claim("other", 1, wait_s=5 * LEASE_S) == []
    assert consumer.end() == [1, 0, 0]
    assert (queue.counts().finished_total, queue.counts().expired_total) == (1, 0)


def test_a_hung_job_is_taken_back_though_its_process_lives(valkey: Valkey, make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=LEASE_S)
    queue.put([Job(id="a", body=b"")])
    consumer = Consumer(valkey, queue.name, HANG, seconds=2.5, patched=True, progress=0.5)
    started = time.monotonic()
    (again,) = queue.claim("other", 1, wait_s=10)
    assert time.monotonic() - started > 0.5 - 0.1
    assert again.attempt == 2
    assert consumer.process.poll() is None
    assert queue.settle([Finish(again)]).done == 1
    assert consumer.end() == [0, 1, 0]


def test_a_job_that_shows_progress_is_kept_longer_than_its_progress_timeout(
    valkey: Valkey, make_queue: MakeQueue
) -> None:
    queue = make_queue(lease_s=LEASE_S)
    queue.put([Job(id="a", body=b"")])
    consumer = Consumer(valkey, queue.name, MARK, seconds=1.5, progress=0.7)
    assert consumer.end() == [1, 0, 0]
    assert queue.counts().expired_total == 0


def test_code_that_keeps_the_interpreter_longer_than_a_lease_loses_its_job_and_settles_nothing(
    valkey: Valkey, make_queue: MakeQueue
) -> None:
    queue = make_queue(lease_s=LEASE_S)
    queue.put([Job(id="a", body=b"")])
    consumer = Consumer(valkey, queue.name, GIL, seconds=5 * LEASE_S)
    (again,) = queue.claim("other", 1, wait_s=10)
    assert again.attempt == 2
    assert queue.settle([Finish(again)]).done == 1
    assert consumer.end()[0] == 0
    assert queue.counts().finished_total == 1


def test_all_leases_are_renewed_in_one_call_and_lost_ones_are_let_go(
    make_queue: MakeQueue, redis_client: Redis
) -> None:
    queue = make_queue(lease_s=60.0)
    queue.put([Job(id=f"j{n}", body=b"") for n in range(300)])
    claims = queue.claim("w", 300)
    renewal = Renewal(queue)
    renewal._start = lambda: None  # type: ignore[method-assign]
    renewal.hold(claims)
    queue.retract(["j7"])
    queue.counts()
    calls = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    renewal._renew(queue)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - calls == 1
    assert renewal.lost == 1
    assert [claim.id for claim in claims if not renewal.holds(claim)] == ["j7"]
    renewal.release(claims)
    assert not renewal.holds(claims[0])


def test_renewal_goes_on_when_the_server_is_back(stack: Stack) -> None:
    valkey = stack.valkey()
    with valkey.client() as redis:
        queue = Queue(redis, "back", lease_s=1.5)
        queue.put([Job(id="a", body=b"")])
        claims = queue.claim("w", 1)
        renewal = Renewal(queue)
        with renewal.holding(claims):
            valkey.service.stop()
            wait_until(lambda: renewal.failures > 0, timeout_s=5)
            valkey.restart()
            first = redis.zscore(queue._keys["claimed"], "a")
            assert first is not None
            wait_until(lambda: redis.zscore(queue._keys["claimed"], "a") > first, timeout_s=5)
        renewal.close()
        assert renewal._ended
        assert "Error" in str(renewal.last_error)
        assert queue.settle([Finish(claim) for claim in claims]).done == 1


FORKED = """
    import os, sys, time
    from redis import Redis
    from realtime_core.queue import Queue, Renewal

    url, name = sys.argv[1:]
    with Redis.from_url(url) as redis:
        queue = Queue(redis, name, lease_s=0.4)
        parents, childs = queue.claim("parent", 1), queue.claim("child", 1)
        renewal = Renewal(queue)
        renewal.hold(parents)
        if os.fork():
            time.sleep(60)
        renewal.hold(childs)
        print(renewal.holds(parents[0]), renewal.holds(childs[0]), flush=True)
        sys.stdin.readline()
"""


def test_a_forked_child_keeps_its_own_claims_and_lets_its_dead_parents_end(
    valkey: Valkey, make_queue: MakeQueue
) -> None:
    queue = make_queue(lease_s=LEASE_S)
    queue.put([Job(id=id_, body=b"") for id_ in ("parents", "childs")])
    command = [sys.executable, "-c", textwrap.dedent(FORKED), valkey.url, queue.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        held = parent.stdout.readline()
        parent.kill()
        (again,) = queue.claim("other", 2, wait_s=10)
        assert queue.settle([Finish(again)]).done == 1
        others = queue.claim("other", 1, wait_s=4 * LEASE_S)
        parent.stdin.close()
        assert parent.stdout.read() == "", "the child has ended"
    assert (held, again.id) == ("False True\n", "parents")
    assert others == [], "the child lived, and so did its claim"
    assert queue.retract(["childs"]) == ["childs"]


def test_a_thread_that_cannot_be_started_is_counted_and_tried_again(
    make_queue: MakeQueue, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue(lease_s=1.5)
    queue.put([Job(id="a", body=b"")])
    claims = queue.claim("w", 1)
    renewal = Renewal(queue)

    def no_more(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(
            module, "_unpatched", lambda name: no_more if name == "start_new_thread" else _thread.allocate_lock
        )
        renewal.hold(claims)
        assert (renewal.failures, renewal.last_error) == (1, "RuntimeError: can't start new thread")
        assert renewal.holds(claims[0])
    first = redis_client.zscore(queue._keys["claimed"], "a")
    assert first is not None

    def renewed() -> bool:
        renewal.progress(claims)
        return redis_client.zscore(queue._keys["claimed"], "a") > first

    wait_until(renewed, timeout_s=5)
    renewal.close()
    assert queue.settle([Finish(claim) for claim in claims]).done == 1


def test_a_thread_that_has_ended_is_started_again(make_queue: MakeQueue, redis_client: Redis) -> None:
    queue = make_queue(lease_s=1.5)
    queue.put([Job(id="a", body=b"")])
    claims = queue.claim("w", 1)
    renewal = Renewal(queue)
    renew, ends = renewal._renew, [SystemExit()]

    def end_once(queue: Queue) -> None:
        if ends:
            raise ends.pop()
        renew(queue)

    renewal._renew = end_once  # type: ignore[method-assign]
    renewal.hold(claims)
    wait_until(lambda: renewal._ended, timeout_s=5)
    first = redis_client.zscore(queue._keys["claimed"], "a")
    assert first is not None
    renewal.progress(claims)
    wait_until(lambda: redis_client.zscore(queue._keys["claimed"], "a") > first, timeout_s=5)
    renewal.close()
    assert queue.settle([Finish(claim) for claim in claims]).done == 1


def test_a_progress_timeout_that_is_none_is_refused(queue: Queue) -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ConfigurationError, match="progress_timeout_s"):
            Renewal(queue, progress_timeout_s=wrong)
