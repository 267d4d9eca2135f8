"""Told to end, a worker gives back what it has not done: in its place, with no attempt charged, and none of it stalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import pytest

from realtime_core.free_ports import free_port
from realtime_core.pipeline import JSONParser, Message, Pipeline
from realtime_core.pipeline.runner import Runner
from realtime_core.queue import Finish, Queue
from tests.realtime_core.pipeline.conftest import ODD
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Service


class Waits(JSONParser, Pipeline):
    """Never gets to the end of a batch."""

    def compute(self, message: Message) -> Message | None:
        gevent.sleep(3600)
        return message


def seen(queue: Queue) -> list[tuple[str, int]]:
    return [(job.id, job.attempts) for job in queue.peek(limit=1_000)]


def as_put(queue: Queue, ids: list[str]) -> bool:
    counts = queue.counts()
    return seen(queue) == [(id_, 0) for id_ in ids] and (counts.stalled, counts.delayed, counts.claimed) == (0, 0, 0)


@pytest.mark.parametrize("attempts", ["1", "2"])
def test_a_box_that_is_away_costs_no_job_an_attempt_when_its_worker_ends(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue, *, attempts: str
) -> None:
    ids = put(50)
    for life in range(2):
        worker = run(
            *("JSONParser+HTTPPublisher", "--box", f"push=http://127.0.0.1:{free_port()}"),
            *("--attempts", attempts, "--hands", "1"),
            name=f"life{life}",
        )
        wait_until(lambda: queue.counts().claimed > 0, timeout_s=10)
        assert worker.stop(10.0) == 0
        assert as_put(queue, ids), seen(queue)
    assert queue.counts().given_back_total >= 2


def test_a_stage_that_takes_longer_than_the_drain_gives_its_jobs_back_as_they_were(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue
) -> None:
    ids = put(20, wait=True)
    worker = run(f"{ODD}:Odd", "--set", "file=/dev/null", "--drain", "0.2", "--attempts", "2")
    wait_until(lambda: queue.counts().claimed == 20, timeout_s=10)
    assert worker.stop(10.0) == 0
    assert as_put(queue, ids), seen(queue)
    again = queue.claim("w", 20)
    assert [claim.id for claim in again] == ids
    queue.settle([Finish(claim) for claim in again])


def test_batches_that_were_claimed_as_the_worker_was_told_go_back_in_their_order_too(
    put: Callable[..., list[str]], queue: Queue
) -> None:
    ids = put(30)
    runner = Runner(Waits, queue, worker="w", drain_s=0.0)
    crew = runner._crew
    for _ in range(3):  # none of them has begun, nor has any greenlet
        crew.give(crew._hire(), queue.claim("w", 10))
    assert queue.counts().claimed == 30
    runner.drain()
    crew.end(0.0)
    assert as_put(queue, ids), seen(queue)
