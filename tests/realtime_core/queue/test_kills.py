"""kill -9 between any two calls: no job is lost, and the books balance at every moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.queue import Finish, Job, Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Valkey

MORTAL = Path(__file__).with_name("mortal.py")


@pytest.mark.parametrize(
    ("kills", "jobs"),
    [pytest.param(30, 300, id="short"), pytest.param(1000, 10_000, id="full", marks=pytest.mark.long)],
)
def test_consumers_killed_between_any_two_calls_lose_nothing_and_the_books_balance_at_every_moment(
    valkey: Valkey,
    redis_client: Redis,
    redis_name: str,
    record_property: Callable[[str, object], None],
    *,
    kills: int,
    jobs: int,
) -> None:
    queue = Queue(redis_client, redis_name, lease_s=0.3, max_attempts=1000, backoff_s=0.0)
    samples = 0
    words = [sys.executable, str(MORTAL), valkey.url, redis_name, str(kills), str(jobs)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            assert queue.counts().balanced
            audit = queue.audit()
            assert audit.clean, audit
            samples += 1
        assert process.stdout is not None
        assert int(process.stdout.read()) == kills
    # Who died before the put puts nothing; who died after it has put all: now it is said again.
    everything = [Job(id=f"j{n}", body=b"x", key=(None, f"k{n % 50}")[n % 2]) for n in range(jobs)]
    queue.put(everything)
    done = f"done:{{{redis_name}}}"

    def drained() -> bool:
        claims = queue.claim("last", 1000, wait_s=0.2)
        with redis_client.pipeline() as pipe:
            for claim in claims:
                pipe.hincrby(done, claim.id, 1)
            pipe.execute()
        queue.settle([Finish(claim) for claim in claims])
        return queue.counts().held == 0

    wait_until(drained, timeout_s=60)
    counts = queue.counts()
    assert (counts.put_total, counts.finished_total) == (jobs, jobs)
    times = [int(value) for value in redis_client.hvals(done)]
    assert len(times) == jobs, "each was done"
    again = sum(times) - jobs
    # Whatever was done more than once was cancelled, given back or in hands that died; all are counted.
    assert again <= counts.cancelled_total + counts.given_back_total + counts.expired_total
    assert queue.audit().clean
    record_property("kills", kills)
    record_property("done again", again)
    record_property("samples", samples)
