"""A hand by itself: what it is excused for, and how long it goes on publishing job by job."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from gevent.event import Event as Flag

from realtime_core.pipeline import JSONParser, Pipeline
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.batch import Batch
from realtime_core.pipeline.dry import claim_of
from realtime_core.pipeline.hand import LONGEST_CALL_S, Hand, Shop
from realtime_core.pipeline.metrics import PipelineMetrics
from realtime_core.pipeline.publishing import Publishing
from realtime_core.queue import Cancel, Job, Renewal
from tests.realtime_core.pipeline.conftest import body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.publish import Event, Outcome
    from realtime_core.queue import Queue


class Mute(JSONParser, Pipeline):
    """Cannot publish, and counts how often it was to."""

    calls = 0

    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        self.calls += 1
        raise LookupError("there is no such box")


def shop(queue: Queue, renewal: Renewal | None = None) -> Shop:
    metrics = PipelineMetrics()
    return Shop(queue=queue, accounts=Accounts(None, metrics), metrics=metrics, draining=Flag(), renewal=renewal)


def test_what_the_renewal_let_go_of_while_the_process_stood_still_is_held_again(queue: Queue) -> None:
    queue.put([Job(id="j0", body=body("j0"))])
    claims = queue.claim("w", 1)
    with closing(Renewal(queue, progress_timeout_s=1.0)) as renewal:
        hand = Hand(Mute(), shop(queue, renewal))
        hand._claims = claims
        hand.excuse(0.01)
        assert not renewal.holds(claims[0]), "the loop was a little late, as it often is"
        hand.excuse(0.5)
        assert renewal.holds(claims[0])


def test_standing_still_is_no_fault_of_a_hand_and_waiting_for_redis_is_none_for_half_a_minute(queue: Queue) -> None:
    hand = Hand(Mute(), shop(queue))
    now = time.monotonic()
    hand.marked = now - 10
    hand.excuse(4.0)
    assert hand.marked == pytest.approx(now - 6, abs=0.1)
    hand.excuse(60.0)
    assert now <= hand.marked <= time.monotonic(), "and never beyond now"
    for asking_s, excused in [(1.0, True), (LONGEST_CALL_S + 1, False)]:
        hand.marked, hand.asking = now - 10, time.monotonic() - asking_s
        hand.excuse(0.0)
        assert (hand.marked >= now) == excused


@pytest.mark.parametrize(("left_s", "calls"), [(60.0, 1 + 3), (-1.0, 1)])
def test_a_batch_that_cannot_be_published_is_published_job_by_job_while_its_lease_allows(
    left_s: float, calls: int
) -> None:
    pipeline, metrics = Mute(), PipelineMetrics()
    claims = [claim_of(f"j{number}", body(f"j{number}")) for number in range(3)]
    batch = Batch(claims, max_attempts=2, backoff_base_s=0.0, chance=0.0)
    batch.parse(pipeline, metrics.stage)
    batch.stamp(batch.items, [["1-1"], ["1-2"], ["1-3"]], metrics.stage)
    with metrics.stage("publish", 3) as stage:
        publishing = Publishing(pipeline, Accounts(None, metrics), Flag(), lambda: None)
        publishing.publish(batch, batch.items, stage, until=time.monotonic() + left_s)
    assert pipeline.calls == calls
    assert metrics.left("publish") == {"done": 0, "error": 3}
    for item in batch.items:
        assert isinstance(item.verdict, Cancel)
        assert item.verdict.reason == "publish: LookupError: there is no such box"
