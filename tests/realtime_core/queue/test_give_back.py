"""Giving back: a job that nobody tried returns to where it was, and no attempt is charged for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from realtime_core.queue import Cancel, Finish, GiveBack, Job, Listener, Queue, Stall

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeQueue = Callable[..., Queue]


def put(queue: Queue, *ids: str, key: str | None = None) -> None:
    queue.put([Job(id=id_, body=b"x", key=key) for id_ in ids])


def ids(queue: Queue, limit: int = 100) -> list[str]:
    return [claim.id for claim in queue.claim("w", limit)]


@pytest.mark.parametrize("key", [None, "k"])
def test_jobs_given_back_are_next_in_their_order_at_the_attempt_they_had(queue: Queue, key: str | None) -> None:
    put(queue, *"abcdef", key=key)
    claims = queue.claim("w", 4)
    assert queue.settle([GiveBack(claim) for claim in claims]).done == 4
    counts = queue.counts()
    assert (counts.available, counts.given_back_total, counts.cancelled_total) == (6, 4, 0)
    assert [seen.id for seen in queue.peek()] == list("abcdef")
    again = queue.claim("w", 6)
    assert [claim.id for claim in again] == list("abcdef")
    assert {claim.attempt for claim in again} == {1}


@pytest.mark.parametrize("key", [None, "k"])
def test_a_last_attempt_that_is_given_back_is_not_the_last(make_queue: MakeQueue, key: str | None) -> None:
    queue = make_queue(max_attempts=2, backoff_s=0.0)
    put(queue, "a", key=key)
    (first,) = queue.claim("w", 1)
    queue.settle([Cancel(first, "x", delay_s=0)])
    for _ in range(5):
        (last,) = queue.claim("w", 1)
        assert last.attempt == 2
        queue.settle([GiveBack(last)])
    assert queue.counts().stalled == 0
    (last,) = queue.claim("w", 1)
    queue.settle([Cancel(last, "x", delay_s=0)])
    assert [job.attempts for job in queue.stalled()] == [2]


def test_a_mixed_batch_gives_back_what_is_left_of_a_key_before_its_other_keys_go(queue: Queue) -> None:
    put(queue, "a1", "a2", "a3", "a4", key="a")
    put(queue, "b1", "b2", key="b")
    claims = queue.claim("w", 3)
    assert [claim.id for claim in claims] == ["a1", "a2", "a3"]
    a1, a2, a3 = claims
    queue.settle([Finish(a1), GiveBack(a2), GiveBack(a3)])
    assert ids(queue, 6) == ["a2", "a3", "a4", "b1", "b2"]


def test_what_waits_for_an_earlier_job_of_its_key_still_waits(queue: Queue) -> None:
    put(queue, "a1", "a2", "a3", key="a")
    a1, a2, a3 = queue.claim("w", 3)
    queue.settle([Cancel(a1, "x", delay_s=60), GiveBack(a2), GiveBack(a3)])
    assert ids(queue) == []
    assert queue.counts().available == 2
    assert queue.audit().clean


def test_several_keys_are_given_back_in_their_order(queue: Queue) -> None:
    for key in "abc":
        put(queue, f"{key}1", f"{key}2", key=key)
    put(queue, "plain1", "plain2")
    claims = queue.claim("w", 3) + queue.claim("w", 100)
    assert len(claims) == 8
    queue.settle([GiveBack(claim) for claim in claims])
    again = ids(queue)
    keyed = [id_ for id_ in again if not id_.startswith("plain")]
    order = [claim.id for claim in claims if claim.key]
    assert keyed == order
    assert [id_ for id_ in again if id_.startswith("plain")] == ["plain1", "plain2"]


def test_a_claim_that_is_no_longer_ours_is_not_given_back(make_queue: MakeQueue) -> None:
    queue = make_queue(backoff_s=0.0)
    put(queue, "a", "b")
    a, b = queue.claim("w", 2)
    queue.settle([Stall(a, "x"), Finish(b)])
    assert queue.settle([GiveBack(a), GiveBack(b)]).stale == ("a", "b")
    assert (queue.counts().available, queue.counts().given_back_total) == (0, 0)


def test_it_is_told_to_who_listens(queue: Queue) -> None:
    listener = Listener(queue)
    put(queue, "a")
    queue.settle([GiveBack(claim) for claim in queue.claim("w", 1)])
    heard = []
    while len(heard) < 3:
        more = listener.notices(5.0)
        assert more, heard
        heard += more
    assert [(notice.move, notice.attempt) for notice in heard] == [
        ("published", None),
        ("claimed", 1),
        ("given_back", 1),
    ]
    listener.close()


def test_a_large_batch_keeps_its_order(queue: Queue) -> None:
    names = [f"j{n}" for n in range(5_000)]
    put(queue, *names)
    queue.settle([GiveBack(claim) for claim in queue.claim("w", 5_000)])
    assert ids(queue, 5_000) == names
