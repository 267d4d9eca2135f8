"""What a killed worker had in its hands is another's within one lease and one interval, by Redis' own clock."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from realtime_core.queue import Finish, Job, Queue
from realtime_core.queue.queue import LOOK_EVERY_S
from tests.support.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Valkey

CLAIMS_AND_STAYS = """
import sys, time
from redis import Redis
from realtime_core.queue import Queue

url, name, lease_s = sys.argv[1:]
with Redis.from_url(url) as redis:
    claims = Queue(redis, name, lease_s=float(lease_s)).claim("dies", 100)
    print(len(claims), max(claim.lease_until for claim in claims), flush=True)
    time.sleep(60)
"""


def killed_with_claims(valkey: Valkey, name: str, lease_s: float) -> float:
    """A worker claims 100 jobs and is killed; when its leases end."""
    argv = [sys.executable, "-c", CLAIMS_AND_STAYS, valkey.url, name, str(lease_s)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        claimed, until = worker.stdout.readline().split()
        worker.kill()
    assert int(claimed) == 100
    return float(until)


def recovered_after_s(redis: Redis, valkey: Valkey, name: str, lease_s: float) -> tuple[float, float]:
    """How long after the end of the leases a survivor that waited claimed all of it, and the machine's pauses since then."""
    queue = Queue(redis, name, lease_s=lease_s)
    ids = [f"j{number}" for number in range(100)]
    queue.put([Job(id=id_, body=b"x", key=("k", None)[number % 2]) for number, id_ in enumerate(ids)])
    with valkey.client() as asked, Pauses(asked.ping) as pauses:
        until = killed_with_claims(valkey, name, lease_s)
        claims = queue.claim("lives", 100, wait_s=20)
        at = min(claim.lease_until for claim in claims) - queue.lease_s
        paused_s = pauses.between(until, at)
    assert sorted(claim.id for claim in claims) == sorted(ids)
    assert {claim.attempt for claim in claims} == {2}
    assert queue.settle([Finish(claim) for claim in claims]).done == 100
    assert queue.counts().expired_total == 100
    assert queue.audit().clean
    return at - until, paused_s


@pytest.mark.parametrize("lease_s", [1.0, 4.0])
def test_what_a_killed_worker_had_is_claimed_when_its_lease_is_over_and_at_most_one_interval_later(
    valkey: Valkey, redis_client: Redis, redis_name: str, lease_s: float
) -> None:
    after_s, paused_s = recovered_after_s(redis_client, valkey, redis_name, lease_s)
    assert 0 <= after_s <= LOOK_EVERY_S + paused_s


@pytest.mark.long
@pytest.mark.quiet
def test_with_a_lease_of_a_second_it_takes_two_and_a_half_at_most(
    valkey: Valkey, redis_client: Redis, redis_name: str, record_property: Callable[[str, object], None]
) -> None:
    after_s, _ = recovered_after_s(redis_client, valkey, redis_name, 1.0)
    record_property("claimed again after, s", round(1.0 + after_s, 3))
    assert 1.0 + after_s <= 2.5
