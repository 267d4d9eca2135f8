"""When a job leaves the queue: before it is published, when a box took it, or when a subscriber saw it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from realtime_core.queue import Job
from realtime_core.stack import free_port
from tests.realtime_core.pipeline.conftest import body
from tests.realtime_core.push.client import Reader, browser_events
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.queue import Queue
    from realtime_core.stack import Service, Stack
    from tests.realtime_core.pipeline.sink import Sink

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

PIPELINE = "JSONParser+Acknowledge+HTTPPublisher"


@pytest.mark.long
def test_with_none_a_job_leaves_before_it_is_published_and_no_failure_brings_it_back(
    run: Run, put: Put, queue: Queue, sink: Sink
) -> None:
    sink.delay_s = 1.0
    run(PIPELINE, "--box", f"push={sink.url}", "--ack", "none")
    put(10)
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=5)
    assert not sink.taken, "the box has not answered yet"
    wait_until(lambda: len(sink.taken) == 10, timeout_s=5)
    sink.status, sink.delay_s = 400, 0.0
    put(5, first=10)
    wait_until(lambda: sink.refused >= 5, timeout_s=5)
    counts = queue.counts()
    assert (counts.finished_total, counts.stalled, counts.delayed) == (15, 0, 0)


@pytest.mark.long
def test_with_published_a_job_stays_until_the_box_has_answered(run: Run, put: Put, queue: Queue, sink: Sink) -> None:
    sink.delay_s = 0.7
    run(PIPELINE, "--box", f"push={sink.url}")
    put(10)
    wait_until(lambda: queue.counts().claimed == 10, timeout_s=5)
    assert queue.counts().finished_total == 0
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=5)


def test_with_delivered_a_job_leaves_once_the_canary_saw_its_event(
    run: Run, put: Put, queue: Queue, stack: Stack
) -> None:
    push = stack.push("push")
    run(PIPELINE, "--box", f"push={push.url}", "--ack", "delivered", "--canary", f"{push.url}/ev/")
    with Reader(push, "thread:1") as reader:
        put(50)
        wait_until(lambda: queue.counts().finished_total == 50, timeout_s=10)
        seen = []
        while len(seen) < 50:
            seen = browser_events(reader.until(b"\n\n"))
    assert [json.loads(event.data)["job"] for event in seen] == [f"j{number}" for number in range(50)], "each once"


@pytest.mark.parametrize("where", [pytest.param("nobody listens", marks=pytest.mark.long), "another server"])
def test_with_delivered_a_job_whose_event_nobody_sees_is_tried_again_and_then_set_aside(
    run: Run, put: Put, queue: Queue, sink: Sink, *, stack: Stack, where: str
) -> None:
    # The box takes everything, and shows it to nobody.
    canary = f"http://127.0.0.1:{free_port()}/ev/" if where == "nobody listens" else f"{stack.push('other').url}/ev/"
    words = ["--canary", canary, "--canary-wait", "0.3", "--attempts", "2", "--backoff", "0.05"]
    run(PIPELINE, "--box", f"push={sink.url}", "--ack", "delivered", *words)
    put(3)
    wait_until(lambda: queue.counts().stalled == 3, timeout_s=10)
    assert all(len(times) == 2 for times in sink.taken.values())
    assert {job.reason for job in queue.stalled()} == {"publish: canary: unseen"}


def test_levels_by_model_stand_beside_each_other_in_one_batch(run: Run, queue: Queue, sink: Sink) -> None:
    def job(id_: str, model: str) -> Job:
        fields = json.loads(body(id_))
        return Job(id=id_, body=json.dumps(fields | {"model": model}).encode())

    sink.status = 400
    run(PIPELINE, "--box", f"push={sink.url}", "--set", "ack_by_model=site.Vote:none")
    queue.put([job("vote", "site.Vote"), job("comment", "site.Comment")])
    wait_until(lambda: queue.counts().stalled == 1, timeout_s=5)
    assert [one.id for one in queue.stalled()] == ["comment"]
    assert queue.counts().finished_total == 1
