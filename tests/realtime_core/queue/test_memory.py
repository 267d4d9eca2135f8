"""A server that is out of memory takes nothing in and still drains: every move that leads a job out of the queue goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from realtime_core.queue import Cancel, Finish, GiveBack, Job, Queue, SettledAlone, Stall
from realtime_core.queue.memory import understood
from tests.support.engines import require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from redis import Redis
    from redis.client import Pipeline

    from realtime_core.stack import Stack


@pytest.fixture(params=["valkey", "redis-server"])
def small(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A client of a server of the test's own: Valkey's answer in a transaction is not Redis's."""
    given = {} if request.param == "valkey" else {"binary": require_engine(request.param)}
    with stack.valkey(**given).client() as redis:
        yield redis


def full(redis: Redis) -> None:
    redis.config_set("maxmemory", 1)


def jobs(count: int, key: str | None = None) -> list[Job]:
    return [Job(id=f"j{n}", body=b"x", key=key and f"{key}{n}") for n in range(count)]


@pytest.mark.parametrize("key", [None, "k"])
def test_claims_are_stamped_renewed_and_settled_in_every_way(small: Redis, key: str | None) -> None:
    queue = Queue(small, "full", max_attempts=2)
    queue.put(jobs(12, key))
    held = queue.claim("w", 6)
    full(small)
    held += queue.claim("w", 6)
    a, b, c, d, *rest = held
    assert all(queue.stamp(held, [["new"]] * 12))
    assert queue.renew(held) == ()
    settled = queue.settle([Finish(a), Cancel(b, "x", delay_s=60), Stall(c, "y"), GiveBack(d), *map(Finish, rest)])
    assert (settled.done, settled.stale) == (12, ())
    counts = queue.counts()
    assert (counts.finished_total, counts.delayed, counts.stalled, counts.available) == (9, 1, 1, 1)
    assert queue.retry([c.id]) == [c.id]
    assert queue.retract([b.id]) == [b.id]
    assert queue.audit().clean


def test_what_is_not_ours_any_more_is_told_and_not_refused(small: Redis) -> None:
    queue = Queue(small, "stale")
    queue.put(jobs(2))
    claims = queue.claim("w", 2)
    queue.retract([claim.id for claim in claims])
    full(small)
    assert queue.renew(claims) == ("j0", "j1")
    assert queue.settle([Finish(claim) for claim in claims]).stale == ("j0", "j1")
    assert queue.stamp(claims, [["new"]] * 2) == [[], []]
    assert queue.counts().stale_total == 4


def test_leases_that_end_come_back(small: Redis) -> None:
    queue = Queue(small, "ended", lease_s=0.01)
    queue.put(jobs(3))
    queue.claim("w", 3)
    full(small)
    assert [claim.attempt for claim in queue.claim("v", 3, wait_s=5)] == [2, 2, 2]
    assert queue.audit().clean


def test_a_settlement_and_what_is_put_beside_it_happen_together_or_not_at_all(small: Redis) -> None:
    queue = Queue(small, "both")
    queue.put(jobs(2))
    claims = queue.claim("w", 2)
    full(small)

    def write(pipe: Pipeline) -> None:
        pipe.execute_command("EVAL", "redis.call('SET', KEYS[1], 1)", 1, "rtq2:{both}:beside")

    with pytest.raises(OutOfMemoryError):
        queue.settle([Finish(claim) for claim in claims], also=write)
    assert (queue.counts().claimed, small.exists("rtq2:{both}:beside")) == (2, 0)
    small.config_set("maxmemory", 0)
    assert queue.settle([Finish(claim) for claim in claims], also=write).done == 2
    assert small.exists("rtq2:{both}:beside") == 1
    assert queue.audit().clean


def test_a_put_of_any_server_s_refusal_is_redis_py_s_error_for_it(small: Redis) -> None:
    queue = Queue(small, "put")
    full(small)
    with pytest.raises(OutOfMemoryError):
        queue.put(jobs(2))
    assert queue.counts().put_total == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # As Redis 6.2 tells of a command in a script.
        ("Error running script (call to f_80c9): @user_script: 1: -OOM command not allowed when …", OutOfMemoryError),
        ("Error running script (call to f_80c9): @user_script:1: WRONGTYPE Operation against a key", ResponseError),
    ],
)
def test_an_older_redis_is_understood_too(words: str, expected: type[Exception]) -> None:
    assert type(understood(ResponseError(words))) is expected


def test_a_settlement_that_went_alone_says_so(queue: Queue, redis_client: Redis, redis_name: str) -> None:
    queue.put(jobs(1))
    (claim,) = queue.claim("w", 1)
    text = f"text{redis_name}"
    redis_client.set(text, "no number")

    def adds(pipe: Pipeline) -> Any:
        pipe.incr(text)

    with pytest.raises(SettledAlone, match="not an integer") as caught:
        queue.settle([Finish(claim)], also=adds)
    assert caught.value.settled.done == 1
    assert queue.counts().finished_total == 1
