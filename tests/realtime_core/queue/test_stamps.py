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
    from tests.realtime_core.queue.conftest import MakeQueue


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


def one_event(queue: Queue, id_: str, channel: str) -> str:
    put(queue, id_)
    claims = queue.claim("w", 1)
    ((event,),) = queue.stamp(claims, [[channel]])
    queue.settle([Finish(claim) for claim in claims])
    return event


def test_a_silent_channels_number_is_forgotten_and_never_given_again(make_queue: MakeQueue) -> None:
    patient, hasty = make_queue(), make_queue(channel_s=0.001)
    first = one_event(patient, "a", "silent")
    assert one_event(patient, "b", "silent").partition("-") == (*first.partition("-")[:2], "2")
    given = {("silent", first)}

    def later(id_: str, channel: str) -> str:
        at = _redis_ms(hasty.redis)
        wait_until(lambda: _redis_ms(hasty.redis) > at + 2)
        event = one_event(hasty, id_, channel)
        given.add((channel, event))
        return event

    assert later("c", "lively") == f"{first.partition('-')[0]}-1"
    assert later("d", "lively") == f"{first.partition('-')[0]}-2", "its number went over into the younger generation"
    assert patient.counts().channels == 1, "the silent one is gone"
    again = later("e", "silent")
    assert again.endswith("-1")
    assert int(again.partition("-")[0]) > int(first.partition("-")[0])
    for number in range(8):
        one_event(hasty, f"f{number}", "lively")
        later(f"g{number}", "lively")
    assert later("h", "silent").endswith("-1")
    assert len(given) == 13, "no id was given twice"


def test_channels_that_were_silent_for_less_than_their_time_count_on(queue: Queue, redis_client: Redis) -> None:
    begun = [one_event(queue, f"a{n}", f"c{n}") for n in range(3)]
    aged = int(redis_client.hget(queue._keys["counts"], "channels_since") or 0) - 8 * 86_400_000
    redis_client.hset(queue._keys["counts"], "channels_since", aged)
    on = [one_event(queue, f"b{n}", f"c{n}") for n in range(2)]
    assert on == [event.replace("-1", "-2") for event in begun[:2]]
    assert redis_client.hlen(queue._keys["former"]) == 2, "one channel and the epoch are left of the former generation"
    assert queue.counts().channels == 3
    assert one_event(queue, "c", "c2") == begun[2].replace("-1", "-2")


def _redis_ms(redis: Redis) -> int:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000
