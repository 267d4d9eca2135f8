"""kill -9 between any two calls: no job is lost, none is done again but by a death, and the books balance at every moment."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.queue import Finish, Queue
from tests.realtime_core.queue.mortal import BATCH, channel_of, job, work
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
    queue.put([job(number) for number in range(jobs)])

    def drained() -> bool:
        work(queue, "last", 1000, Finish)
        return queue.counts().held == 0

    wait_until(drained, timeout_s=60)
    counts = queue.counts()
    assert (counts.put_total, counts.finished_total) == (jobs, jobs)

    def told(what: str) -> Counter[str]:
        return Counter(
            {id_.decode(): int(times) for id_, times in redis_client.hgetall(f"{what}:{{{redis_name}}}").items()}
        )

    done, back, late = told("done"), told("back"), told("late")
    assert len(done) == jobs, "each was done"
    hands = redis_client.hgetall(f"hands:{{{redis_name}}}")
    del hands[b"last"]
    in_flight = Counter(id_.decode() for ids in hands.values() for id_ in ids.split())
    again = Counter({id_: times - 1 for id_, times in done.items() if times > 1})
    # What was cancelled or given back is not among them. Each of the others is explained by a consumer that had this very job
    # in its hands when it was killed, or, on a machine that stops processes for longer than a lease, was told that it came late.
    assert not told("robbed"), "nobody loses a job before the lease is over"
    assert again <= in_flight + late, again - (in_flight + late)
    assert again.total() <= BATCH * kills + late.total()
    assert counts.expired_total <= BATCH * kills + late.total()
    # What was said is not all of it: who died on the way did not cancel after all.
    assert counts.cancelled_total + counts.given_back_total <= back.total()
    assert_each_job_was_one_event(redis_client, redis_name, jobs)
    assert queue.audit().clean
    record_property("kills", kills)
    record_property("done again", again.total())
    record_property("expired", counts.expired_total)
    record_property("cancelled or given back", back.total())
    record_property("late", late.total())
    record_property("samples", samples)


def assert_each_job_was_one_event(redis: Redis, name: str, jobs: int) -> None:
    """However often it was stamped, and whoever was killed over it; a channel's numbers have no gap."""
    stamped = [entry.decode().split() for entry in redis.smembers(f"events:{{{name}}}")]
    assert len({id_ for id_, _ in stamped}) == len(stamped) == jobs
    numbers: dict[str, list[int]] = {}
    for id_, event in stamped:
        numbers.setdefault(channel_of(id_), []).append(int(event.partition("-")[2]))
    for of_channel in numbers.values():
        assert sorted(of_channel) == list(range(1, len(of_channel) + 1))
    assert len({event.partition("-")[0] for _, event in stamped}) == 1
