"""A worker that has nothing to do: what it costs Redis, and that it ends at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from realtime_core.free_ports import free_port
from realtime_core.queue import Job, Queue
from tests.realtime_core.pipeline.conftest import ROOT, body
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Service, Stack
    from tests.realtime_core.pipeline.sink import Sink

    Run = Callable[..., Service]

# What a worker may send by itself; all else in the server's figures is done inside the scripts.
SENT = ("evalsha", "eval", "script|load", "blpop", "exec", "type", "set", "ping")

# A worker whose waits for jobs are longer than any test waits.
PATIENT = """
from gevent import monkey
monkey.patch_all()
import sys
import realtime_core.pipeline.__main__ as worker
import realtime_core.pipeline.runner as runner
import realtime_core.queue.queue as queue

worker.REDIS_TIMEOUT_S = 600.0
runner.WAIT_S = queue.LOOK_EVERY_S = 100.0
sys.exit(worker.main())
"""


def sent(redis: Redis) -> int:
    stats = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in SENT)


def waits(redis: Redis) -> bool:
    return redis.info("clients")["blocked_clients"] == 1


def test_an_idle_worker_asks_redis_two_and_a_half_times_a_second_at_most_and_still_looks(
    stack: Stack, run: Run
) -> None:
    own = stack.valkey()
    box = f"push=http://127.0.0.1:{free_port()}"
    with own.client() as redis:
        run("JSONParser+HTTPPublisher", "--redis", own.url, "--queue", "q", "--box", box, "--ledger-name", "l")
        wait_until(lambda: waits(redis) and sent(redis) > 6, timeout_s=10)  # it has begun
        before, began = sent(redis), time.monotonic()
        wait_until(lambda: time.monotonic() - began >= 4.0, timeout_s=6)
        made, took_s = sent(redis) - before, time.monotonic() - began
        assert 1 <= made <= 2.5 * took_s


def test_an_idle_worker_that_is_told_to_end_breaks_off_its_wait_and_ends_with_0(stack: Stack) -> None:
    own = stack.valkey()
    words = [
        "JSONParser+HTTPPublisher",
        "--redis",
        own.url,
        "--queue",
        "q",
        "--box",
        f"push=http://127.0.0.1:{free_port()}",
    ]
    worker = stack.start(
        "patient", [sys.executable, "-c", PATIENT, *words], ready="working on queue", env={"PYTHONPATH": str(ROOT)}
    )
    with own.client() as redis:
        wait_until(lambda: waits(redis), timeout_s=10)
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: not worker.alive(), timeout_s=15)
    assert worker.stop(1) == 0
    assert "Traceback" not in worker.log.read_text()


def test_a_job_that_comes_while_an_idle_worker_is_told_to_end_is_in_nobodys_hands_afterwards(
    stack: Stack, sink: Sink
) -> None:
    own = stack.valkey()
    words = ["JSONParser+HTTPPublisher", "--redis", own.url, "--queue", "q", "--box", f"push={sink.url}"]
    argv = [sys.executable, "-P", "-m", "realtime_core.pipeline", *words]
    with own.client() as redis:
        queue = Queue(redis, "q")
        for life in range(4):
            worker = stack.start(f"w{life}", argv, ready="working on queue", env={"PYTHONPATH": str(ROOT)})
            wait_until(lambda: waits(redis), timeout_s=10)
            job = Job(id=f"j{life}", body=body(f"j{life}"))
            if life % 2:
                queue.put([job])
            os.kill(worker.pid, signal.SIGTERM)
            queue.put([job])  # a second time it changes nothing
            wait_until(lambda worker=worker: not worker.alive(), timeout_s=15)
            assert worker.stop(1) == 0
            counts = queue.counts()
            assert (counts.claimed, counts.delayed, counts.expired_total) == (0, 0, 0)
            assert counts.available + counts.finished_total == life + 1
        assert queue.audit().clean
