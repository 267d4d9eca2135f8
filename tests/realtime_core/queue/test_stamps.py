"""Event ids: consecutive in a channel, the same for every attempt, never given to a stale claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.queue import Cancel, Finish, Job
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.queue import Queue


def put(queue: Queue, *ids: str) -> None:
    queue.put([Job(id=id_, body=b"") for id_ in ids])


def test_numbers_are_consecutive_in_each_channel_over_batches(queue: Queue) -> None:
    put(queue, "a", "b", "c")
    a, b = queue.claim("w", 2)
    (c,) = queue.claim("w", 1)
    first = queue.stamp([a, b], [["t:1", "u:1"], ["t:1"]])
    second = queue.stamp([c], [["u:1", "t:1", "t:2"]])
    epoch = first[0][0].partition("-")[0]
    assert epoch.isdecimal()
    assert first == [[f"{epoch}-1", f"{epoch}-1"], [f"{epoch}-2"]]
    assert second == [[f"{epoch}-2", f"{epoch}-3", f"{epoch}-1"]]
    assert queue.counts().channels == 3


def test_another_attempt_gets_the_same_ids_in_whatever_order_it_asks(queue: Queue) -> None:
    put(queue, "a", "b")
    a, b = queue.claim("w", 2)
    (first, _) = queue.stamp([a, b], [["t", "u"], ["t"]])
    assert queue.stamp([a], [["t", "u"]]) == [first]
    queue.settle([Cancel(a, "x"), Finish(b)])
    (again,) = queue.claim("w", 1, wait_s=5)
    assert queue.stamp([again], [["u", "v", "t"]])[0][::2] == [first[1], first[0]]
    queue.settle([Finish(again)])
    put(queue, "c")
    (c,) = queue.claim("w", 1)
    assert queue.stamp([c], [["t"]])[0][0].endswith("-3")


def test_a_job_with_no_channel_or_one_channel_twice_has_no_event_too_many(queue: Queue) -> None:
    put(queue, "a", "b")
    claims = queue.claim("w", 2)
    none, twice = queue.stamp(claims, [[], ["t", "t"]])
    assert none == []
    assert len(twice) == 2
    assert twice[0] == twice[1]
    assert queue.stamp(claims, [[], []]) == [[], []]


def test_the_epoch_changes_only_with_the_counter(queue: Queue, redis_client: Redis) -> None:
    put(queue, "a", "b", "c")
    a, b, c = queue.claim("w", 3)
    ((one,),) = queue.stamp([a], [["t"]])
    ((two,),) = queue.stamp([b], [["t"]])
    assert one.partition("-")[0] == two.partition("-")[0]
    redis_client.delete(queue._keys["channels"])
    wait_until(lambda: _redis_ms(redis_client) > int(one.partition("-")[0]))
    ((three,),) = queue.stamp([c], [["t"]])
    assert int(three.partition("-")[0]) > int(one.partition("-")[0])
    assert three.endswith("-1")


def test_a_channel_that_is_no_identifier_is_refused(queue: Queue) -> None:
    put(queue, "a")
    claims = queue.claim("w", 1)
    for channel in ("", "a b", "a\nb", "x" * 129):
        with pytest.raises(ConfigurationError, match="channel"):
            queue.stamp(claims, [[channel]])
    with pytest.raises(ValueError, match="shorter"):
        queue.stamp(claims, [])


def test_nothing_of_a_stamp_stays_behind_when_the_job_is_gone(queue: Queue, redis_client: Redis) -> None:
    put(queue, "a", "b")
    a, b = queue.claim("w", 2)
    queue.stamp([a, b], [["t"], ["t"]])
    queue.settle([Finish(a)])
    queue.retract(["b"])
    assert redis_client.hlen(queue._keys["stamps"]) == 0


def _redis_ms(redis: Redis) -> int:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000
