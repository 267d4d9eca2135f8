"""A consumer that is stopped for longer than its lease: what it says afterwards changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from realtime_core.queue import Finish, Job, Queue
from tests.support.processes import stopped
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.stack import Valkey

SETTLES_WHEN_TOLD = """
import sys
from redis import Redis
from realtime_core.queue import Cancel, Finish, GiveBack, Queue, Stall

url, name = sys.argv[1:]
with Redis.from_url(url) as redis:
    queue = Queue(redis, name, lease_s=0.5)
    claims = queue.claim("stopped", 100)
    print(len(claims), flush=True)
    sys.stdin.readline()
    says = (Finish, lambda claim: Cancel(claim, "x"), lambda claim: Stall(claim, "x"), GiveBack)
    stamped = sum(len(of_job) for of_job in queue.stamp(claims, [["c"]] * len(claims)))
    settled = queue.settle([says[number % 4](claim) for number, claim in enumerate(claims)])
    print(stamped, settled.done, len(settled.stale), flush=True)
"""


def test_whoever_was_stopped_for_longer_than_its_lease_settles_and_stamps_nothing_of_what_another_finished(
    valkey: Valkey, redis_client: Redis, redis_name: str
) -> None:
    queue = Queue(redis_client, redis_name, lease_s=60)
    queue.put([Job(id=f"j{number}", body=b"x", key=("k", None)[number % 2]) for number in range(40)])
    argv = [sys.executable, "-c", SETTLES_WHEN_TOLD, valkey.url, redis_name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdin is not None
        assert consumer.stdout is not None
        try:
            assert consumer.stdout.readline() == "40\n"
            os.kill(consumer.pid, signal.SIGSTOP)
            wait_until(lambda: stopped(consumer.pid))
            consumer.stdin.write("go on\n")
            consumer.stdin.flush()
            others = queue.claim("lives", 100, wait_s=20)
            assert len(others) == 40
            # Half of them are over when it goes on, half are in the other's hands.
            assert queue.settle([Finish(claim) for claim in others[:20]]).done == 20
        finally:
            os.kill(consumer.pid, signal.SIGCONT)
        assert consumer.stdout.readline() == "0 0 40\n"
    assert queue.settle([Finish(claim) for claim in others[20:]]).done == 20
    counts = queue.counts()
    assert (counts.put_total, counts.finished_total, counts.expired_total) == (40, 40, 40)
    assert (counts.stale_total, counts.cancelled_total, counts.given_back_total, counts.stalled) == (40, 0, 0, 0)
    assert queue.audit().clean
