"""Notices of every move for who listens; none, and no cost, when nobody does. Results for who waits."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.queue import Cancel, Finish, Job, Listener, Notice, Queue, Stall
from realtime_core.queue.keys import result_key
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from realtime_core.stack import Valkey

    MakeQueue = Callable[..., Queue]


@pytest.fixture
def listener(queue: Queue) -> Iterator[Listener]:
    listener = Listener(queue)
    yield listener
    listener.close()


def put(queue: Queue, *ids: str) -> None:
    queue.put([Job(id=id_, body=b"9.0") for id_ in ids])


def hear(listener: Listener, count: int) -> list[Notice]:
    heard: list[Notice] = []
    wait_until(lambda: heard.extend(listener.notices(0.1)) or len(heard) >= count, timeout_s=10)
    return heard


def test_a_jobs_whole_life_is_told_in_order(queue: Queue, listener: Listener) -> None:
    put(queue, "a")
    (first,) = queue.claim("w", 1)
    queue.settle([Cancel(first, "x", delay_s=0)])
    (second,) = queue.claim("w", 1)
    queue.settle([Stall(second, "x")])
    queue.retry(["a"])
    (third,) = queue.claim("w", 1)
    queue.settle([Finish(third)])
    heard = hear(listener, 8)
    assert [(notice.move, notice.attempt) for notice in heard] == [
        ("published", None),
        ("claimed", 1),
        ("cancelled", 1),
        ("claimed", 2),
        ("stalled", 2),
        ("retried", None),
        ("claimed", 3),
        ("finished", None),
    ]
    assert {notice.id for notice in heard} == {"a"}
    assert heard[0].at == pytest.approx(time.time(), abs=60)
    assert (listener.lost, listener.blind) == (0, 0)


def test_a_lease_that_ends_is_told_and_a_retraction(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=1)
    listener = Listener(queue)
    put(queue, "a", "b")
    queue.claim("w", 1)
    queue._redis.zadd(queue._keys["claimed"], {"a": 1})
    queue.reap()
    queue.retract(["a", "b"])
    assert [(notice.move, notice.id) for notice in hear(listener, 7)] == [
        ("published", "a"),
        ("published", "b"),
        ("claimed", "a"),
        ("expired", "a"),
        ("stalled", "a"),
        ("retracted", "a"),
        ("retracted", "b"),
    ]
    listener.close()


def test_a_batch_is_told_in_one_message_and_a_stale_verdict_not_at_all(
    queue: Queue, listener: Listener, redis_client: Redis
) -> None:
    def published() -> int:
        return int(redis_client.info("commandstats")["cmdstat_publish"]["calls"])

    put(queue, "before")
    before = published()
    put(queue, *(f"j{n}" for n in range(500)))
    claims = queue.claim("w", 1000)
    verdicts = [Finish(claim) for claim in claims[:-2]]
    queue.settle([*verdicts, Cancel(claims[-2], "x"), Stall(claims[-1], "x")])
    assert published() - before == 3
    queue.settle([Finish(claim) for claim in claims])
    assert published() - before == 3
    moves = [notice.move for notice in hear(listener, 3 * 501 - 1 + 1)]
    assert moves == ["published"] * 501 + ["claimed"] * 501 + ["finished"] * 499 + ["cancelled", "stalled"]


def test_without_a_listener_nothing_is_told(queue: Queue, redis_client: Redis) -> None:
    def published() -> int:
        return int(redis_client.info("commandstats").get("cmdstat_publish", {"calls": 0})["calls"])

    before = published()
    put(queue, "a")
    queue.settle([Finish(claim) for claim in queue.claim("w", 1)])
    assert published() == before
    assert redis_client.hget(queue._keys["counts"], "notices") is None


def test_messages_that_are_missed_while_the_connection_is_broken_are_counted(
    queue: Queue, listener: Listener, redis_client: Redis
) -> None:
    put(queue, "a")
    assert len(hear(listener, 1)) == 1
    redis_client.client_kill_filter(_type="pubsub")
    for name in ("b", "c", "d"):
        put(queue, name)
    wait_until(lambda: listener.notices(0.1) == [] and listener._pubsub is not None, timeout_s=10)
    assert listener.reconnects == 1
    put(queue, "e")
    assert [notice.id for notice in hear(listener, 1)] == ["e"]
    assert (listener.lost, listener.blind) == (3, 0)


def test_a_listener_that_was_forgotten_by_the_server_says_that_it_cannot_know(
    queue: Queue, listener: Listener, redis_client: Redis
) -> None:
    redis_client.hdel(queue._keys["counts"], "watched")
    put(queue, "a")
    listener._renew_at = 0.0
    assert listener.notices() == []
    put(queue, "b")
    assert [notice.id for notice in hear(listener, 1)] == ["b"]
    assert listener.blind == 1


def test_a_listener_of_an_old_queue_has_lost_nothing(queue: Queue, listener: Listener) -> None:
    for n in range(5):
        put(queue, f"a{n}")
    late = Listener(queue)
    put(queue, "b")
    assert [notice.id for notice in hear(late, 1)] == ["b"]
    assert late.lost == 0
    late.close()


def test_a_result_reaches_everybody_who_waits_and_who_asks_later(valkey: Valkey, queue: Queue) -> None:
    put(queue, "a")
    got: list[bytes | None] = []

    def wait() -> None:
        with valkey.client() as redis:
            got.append(Queue(redis, queue.name).result("a", 20.0))

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: queue._redis.info("clients")["blocked_clients"] >= 3)
    queue.settle([Finish(claim, result=b"weee \0\xff") for claim in queue.claim("w", 1)])
    for thread in threads:
        thread.join(10)
    assert got == [b"weee \0\xff"] * 3
    assert queue.result("a") == b"weee \0\xff"
    assert 0 < queue._redis.pttl(result_key(queue.name, "a")) <= 60_000
    assert queue.counts().held == 0


def test_a_result_that_does_not_come_is_none_after_the_wait(queue: Queue) -> None:
    put(queue, "a")
    queue.settle([Finish(claim) for claim in queue.claim("w", 1)])
    started = time.monotonic()
    assert queue.result("a", 0.3) is None
    assert 0.3 <= time.monotonic() - started < 5
    assert queue.result("unknown") is None


def test_a_result_is_over_after_its_time(make_queue: MakeQueue) -> None:
    queue = make_queue(result_s=0.1)
    put(queue, "a")
    queue.settle([Finish(claim, b"x") for claim in queue.claim("w", 1)])
    wait_until(lambda: queue.result("a") is None)


def test_results_are_bounded_and_what_is_not_kept_is_counted(make_queue: MakeQueue) -> None:
    queue = make_queue(max_results=2)
    put(queue, "a", "b", "c")
    assert queue.settle([Finish(claim, claim.id.encode()) for claim in queue.claim("w", 3)]).done == 3
    assert [queue.result(id_) for id_ in "abc"] == [b"a", b"b", None]
    counts = queue.counts()
    assert (counts.finished_total, counts.result_total, counts.undelivered_total) == (3, 2, 1)


def test_a_stale_finish_leaves_no_result(make_queue: MakeQueue) -> None:
    queue = make_queue()
    put(queue, "a", "b")
    claims = queue.claim("slow", 2)
    queue._redis.zadd(queue._keys["claimed"], {"a": 1})
    queue.reap()
    (again,) = queue.claim("quick", 1)
    settled = queue.settle(
        [Finish(claim, b"slow") for claim in claims], also=lambda pipe: pipe.set(f"also{queue.name}", 1)
    )
    assert settled.stale == ("a",)
    assert (queue.result("a"), queue.result("b")) == (None, b"slow")
    queue.settle([Finish(again, b"quick")])
    assert queue.result("a") == b"quick"


def test_a_result_that_is_too_long_or_no_bytes_is_refused_and_nothing_is_settled(queue: Queue) -> None:
    put(queue, "a")
    (claim,) = queue.claim("w", 1)
    with pytest.raises(ConfigurationError, match="16,385 bytes, the limit is 16,384"):
        queue.settle([Finish(claim, b"x" * 16_385)])
    with pytest.raises(ConfigurationError, match="encode it"):
        queue.settle([Finish(claim, "text")])  # type: ignore[arg-type]
    assert queue.counts().claimed == 1
