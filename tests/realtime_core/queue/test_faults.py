"""Forgotten scripts, dead workers, a server without memory: nothing is lost and the books balance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, TypeVar

import pytest
from redis import ConnectionError as RedisConnectionError
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError
from redis.retry import Retry

from realtime_core.queue import Cancel, Finish, Job, Queue, Stall
from realtime_core.queue.scripts import MOVES
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

T = TypeVar("T")

WORKER = """
    import os, sys
    from redis import Redis
    from realtime_core.queue import Finish, Job, Queue

    url, name, who = sys.argv[1:]
    with Redis.from_url(url) as redis:
        queue = Queue(redis, name, lease_s=0.5, max_attempts=1000)
        print("ready", flush=True)
        for n in range(1_000_000):
            queue.put([Job(id=f"{who}.{n}.{i}", body=b"x") for i in range(4)])
            claims = queue.claim(who, 16)
            queue.settle([Finish(claim) for claim in claims])
"""


def jobs(*ids: str) -> list[Job]:
    return [Job(id=id_, body=b"x") for id_ in ids]


def start(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *args], stdout=subprocess.PIPE, text=True)


def test_forgotten_scripts_are_loaded_again_by_every_move(queue: Queue, redis_client: Redis, redis_name: str) -> None:
    made: set[str] = set()

    def forgotten(move: str, call: Callable[[], T]) -> T:
        made.add(move)
        redis_client.script_flush()
        return call()

    assert forgotten("put", lambda: queue.put(jobs("a", "b", "c", "d"))) == [True] * 4
    a, b, c = forgotten("claim", lambda: queue.claim("w", 3))
    assert forgotten("renew", lambda: queue.renew([a, b])) == ()
    assert len(forgotten("stamp", lambda: queue.stamp([a, b], [["t"], ["t"]]))) == 2
    assert forgotten("settle", lambda: queue.settle([Finish(a), Stall(c, "x")])).done == 2
    also = f"also{redis_name}"
    assert forgotten("settle", lambda: queue.settle([Finish(b)], also=lambda pipe: pipe.set(also, 1))).done == 1
    assert redis_client.get(also) == b"1"
    assert [job.id for job in forgotten("peek", queue.peek)] == ["d"]
    assert forgotten("retry", lambda: queue.retry(["c"])) == ["c"]
    (d,) = queue.claim("w", 1)
    redis_client.zadd(queue._keys["claimed"], {d.id: 1})  # its lease is over
    assert forgotten("reap", queue.reap) == 1
    assert forgotten("retract", lambda: queue.retract(["c", "d"])) == ["c", "d"]
    assert forgotten("audit", queue.audit).clean
    assert made == set(MOVES)


@pytest.mark.parametrize("key", [None, "k"])
def test_a_server_without_memory_refuses_a_put_as_a_whole_and_still_drains(stack: Stack, key: str | None) -> None:
    def jobs(*ids: str) -> list[Job]:
        return [Job(id=id_, body=b"x", key=key and f"{key}:{id_}") for id_ in ids]

    valkey = stack.valkey()
    with valkey.client() as redis:
        queue = Queue(redis, "full", max_attempts=2)
        queue.put(jobs("a", "b", "c"))
        (kept,) = queue.claim("w", 1)
        redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            queue.put(jobs("d", "e"))
        assert queue.audit().clean
        assert queue.counts().put_total == 3
        b, c = queue.claim("w", 2)
        assert queue.settle([Finish(kept), Finish(b), Finish(c)]).done == 3
        assert queue.audit().clean
        redis.config_set("maxmemory", 0)
        assert queue.put(jobs("d", "e")) == [True, True]
        assert queue.audit().clean


def test_a_dead_server_is_redis_own_error_and_the_queue_goes_on_when_it_is_back(stack: Stack) -> None:
    valkey = stack.valkey()
    with valkey.client(retry=Retry(NoBackoff(), 0)) as redis:
        queue = Queue(redis, "back")
        queue.put(jobs("a"))
        (claim,) = queue.claim("w", 1)
        valkey.service.stop()
        with pytest.raises(RedisConnectionError):
            queue.settle([Finish(claim)])
        valkey.restart()
        assert queue.settle([Finish(claim)]).done == 1
        assert queue.audit().clean


def test_workers_killed_at_any_moment_lose_nothing(valkey: Valkey, redis_client: Redis, redis_name: str) -> None:
    queue = Queue(redis_client, redis_name, lease_s=0.5, max_attempts=1000)
    for life in range(4):
        worker = start(WORKER, valkey.url, redis_name, f"w{life}")
        assert worker.stdout is not None
        with worker.stdout:
            assert worker.stdout.readline() == "ready\n"
            enough = queue.counts().put_total + 200 * (life + 1)
            wait_until(lambda enough=enough: queue.counts().put_total > enough, timeout_s=20)
            worker.send_signal(signal.SIGKILL)
            worker.wait(5)
        audit = queue.audit()
        assert audit.clean, audit

    def drained() -> bool:
        queue.settle([Finish(claim) for claim in queue.claim("last", 256, wait_s=1)])
        return queue.counts().held == 0

    wait_until(drained, timeout_s=20)
    counts = queue.counts()
    assert counts.put_total == counts.finished_total > 1000
    assert queue.audit().clean


def test_a_worker_killed_with_claims_in_hand_has_them_claimed_again(
    valkey: Valkey, redis_client: Redis, redis_name: str
) -> None:
    queue = Queue(redis_client, redis_name, lease_s=1.0)
    names = [f"j{n}" for n in range(100)]
    queue.put(jobs(*names))
    code = """
        import sys, time
        from redis import Redis
        from realtime_core.queue import Queue

        with Redis.from_url(sys.argv[1]) as redis:
            print(len(Queue(redis, sys.argv[2], lease_s=1.0).claim("dies", 256)), flush=True)
            time.sleep(60)
    """
    worker = start(code, valkey.url, redis_name)
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline() == "100\n"
        worker.kill()
        worker.wait(5)
    claims = queue.claim("lives", 256, wait_s=20)
    assert [claim.id for claim in claims] == names
    assert {claim.attempt for claim in claims} == {2}
    assert queue.settle([Finish(claim) for claim in claims]).done == 100
    counts = queue.counts()
    assert (counts.finished_total, counts.expired_total, counts.claimed_total) == (100, 100, 200)


def test_the_audit_names_every_kind_of_damage(queue: Queue, redis_client: Redis) -> None:
    queue.put(jobs("a", "b", "c", "d"))
    queue.claim("w", 1)
    keys = queue._keys
    assert queue.audit().clean
    redis_client.lrem(keys["ready"], 1, "b")
    redis_client.rpush(keys["ready"], "ghost", "c")
    redis_client.hset(keys["tries"], "gone", 1)
    redis_client.hdel(keys["owners"], "a")
    audit = queue.audit()
    assert (audit.lost, audit.phantom, audit.double) == (("b",), ("ghost",), ("c",))
    assert (audit.stuck, audit.crossed) == ((), ())
    assert audit.left_behind == ("a", "gone")
    assert not audit.clean
    assert not audit.counts.balanced
    assert not queue.audit(limit=2).complete
    redis_client.delete(*keys.values())


def test_the_audit_names_jobs_that_wait_for_nobody_and_keys_that_are_given_out_wrongly(
    queue: Queue, redis_client: Redis
) -> None:
    queue.put([Job(id=f"{key}{n}", body=b"x", key=key) for key in "abcde" for n in range(3)])
    keys = queue._keys
    (held,) = queue.claim("w", 1)
    assert held.id == "a0"
    queue.settle([Cancel(held, "x", delay_s=60)])
    assert [claim.id for claim in queue.claim("w", 1)] == ["b0"]
    assert queue.audit().clean
    redis_client.zrem(keys["turns"], "c")
    assert (queue.audit().stuck, queue.audit().crossed) == (("c0",), ())
    redis_client.zadd(keys["turns"], {"a": 1, "b": 1, "c": 1, "x": 1})
    assert (queue.audit().stuck, queue.audit().crossed) == ((), ("a", "b", "x"))
    redis_client.zrem(keys["turns"], "a", "b", "x")
    assert queue.audit().clean
    redis_client.hset(keys["busy"], mapping={"b": -2, "y": 1})
    assert queue.audit().crossed == ("b", "y")
    redis_client.hset(keys["busy"], "b", 1)  # as if nothing waited behind it
    assert queue.audit().crossed == ("b", "y")
    redis_client.delete(keys["busy"])
    assert queue.audit().crossed == ("b",)
    redis_client.zrem(keys["delayed"], redis_client.zrange(keys["later"], 0, -1)[0])
    assert queue.audit().left_behind == ("a0",)
    redis_client.delete(*keys.values())


@pytest.mark.parametrize("patched", [False, True])
def test_it_waits_and_wakes_in_a_plain_and_in_a_patched_process(
    valkey: Valkey, redis_name: str, tmp_path: Path, *, patched: bool
) -> None:
    code = """
        import sys
        url, name, patched = sys.argv[1:]
        if patched == "True":
            from gevent import monkey
            monkey.patch_all()
        import threading
        from redis import Redis
        from realtime_core.queue import Finish, Job, Queue

        assert patched == "True" or not {"gevent", "greenlet", "numpy"} & set(sys.modules)
        with Redis.from_url(url) as redis:
            queue = Queue(redis, name)
            got = []
            thread = threading.Thread(target=lambda: got.extend(queue.claim("w", 1, wait_s=20)))
            thread.start()
            queue.put([Job(id="a", body=b"x")])
            thread.join(15)
            print(queue.settle([Finish(claim) for claim in got]).done)
    """
    with start(code, valkey.url, redis_name, str(patched)) as process:
        output, _ = process.communicate(timeout=25)
    assert (process.returncode, output) == (os.EX_OK, "1\n")
