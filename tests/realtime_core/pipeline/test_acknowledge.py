"""When a job leaves the queue: before it is published, when a box took it, or when a subscriber saw it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.event import Event as Flag

from realtime_core.free_ports import free_port
from realtime_core.pipeline import JSONAnonHTTPPipeline, PipelineMetrics
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.hand import Hand, Shop
from realtime_core.pipeline.supervisor import REDIS_VARIABLE
from realtime_core.publish import Box, Canary, Fleet
from realtime_core.queue import Job
from tests.realtime_core.pipeline.conftest import ROOT, body
from tests.realtime_core.push.client import Reader, browser_events
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.queue import Queue
    from realtime_core.stack import Service, Stack, Valkey
    from tests.realtime_core.pipeline.sink import Sink

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

PIPELINE = "JSONParser+Acknowledge+HTTPPublisher"


def test_with_none_a_job_leaves_before_it_is_published_and_no_failure_brings_it_back(
    run: Run, put: Put, queue: Queue, sink: Sink
) -> None:
    sink.answering.clear()
    run(PIPELINE, "--box", f"push={sink.url}", "--ack", "none")
    put(10)
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=10)
    assert not sink.taken, "the box has not answered yet"
    sink.answering.set()
    wait_until(lambda: len(sink.taken) == 10, timeout_s=10)
    sink.status = 400
    put(5, first=10)
    wait_until(lambda: sink.refused >= 5, timeout_s=10)
    counts = queue.counts()
    assert (counts.finished_total, counts.stalled, counts.delayed) == (15, 0, 0)


@pytest.mark.parametrize("words", [[], ["--ack", "published"]], ids=["by default", "by name"])
def test_with_published_a_job_stays_until_the_box_has_answered(
    run: Run, put: Put, queue: Queue, sink: Sink, words: list[str]
) -> None:
    sink.answering.clear()
    run(PIPELINE, "--box", f"push={sink.url}", *words)
    put(10)
    wait_until(lambda: sink.heard >= 10, timeout_s=10)
    assert (queue.counts().claimed, queue.counts().finished_total) == (10, 0)
    sink.answering.set()
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=10)


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


def test_delivered_by_model_asks_a_subscriber_for_that_model_alone(
    run: Run, queue: Queue, sink: Sink, stack: Stack
) -> None:
    def job(id_: str, model: str) -> Job:
        fields = json.loads(body(id_))
        return Job(id=id_, body=json.dumps(fields | {"model": model}).encode())

    # The box takes everything, and shows it to nobody.
    canary = [
        "--canary",
        f"{stack.push('other').url}/ev/",
        "--canary-wait",
        "0.3",
        "--attempts",
        "2",
        "--backoff",
        "0.05",
    ]
    run(PIPELINE, "--box", f"push={sink.url}", "--set", "ack_by_model=site.Order:delivered,site.Vote:none", *canary)
    queue.put([job("order", "site.Order"), job("vote", "site.Vote"), job("comment", "site.Comment")])
    wait_until(lambda: queue.counts().stalled == 1, timeout_s=10)
    wait_until(lambda: queue.counts().finished_total == 2, timeout_s=5)
    assert [(one.id, one.reason) for one in queue.stalled()] == [("order", "publish: canary: unseen")]
    assert {id_: len(times) for id_, times in sink.taken.items()} == {"order": 2, "vote": 1, "comment": 1}


def test_delivered_by_model_finishes_what_a_subscriber_saw(run: Run, put: Put, queue: Queue, stack: Stack) -> None:
    push = stack.push("push")
    run(PIPELINE, "--box", f"push={push.url}", "--set", "ack_by_model=m:delivered", "--canary", f"{push.url}/ev/")
    put(20)
    wait_until(lambda: queue.counts().finished_total == 20, timeout_s=10)
    assert queue.counts().claimed_total == 20, "each was seen at its first attempt"


def test_a_canary_with_more_channels_than_a_shell_allows_descriptors_sees_them_all(
    queue: Queue, stack: Stack, valkey: Valkey
) -> None:
    push = stack.push("push")
    words = [PIPELINE, "--queue", queue.name, "--box", f"push={push.url}", "--ack", "delivered"]
    worker = [
        sys.executable,
        "-P",
        "-m",
        "realtime_core.pipeline",
        *words,
        "--canary",
        f"{push.url}/ev/",
        "--attempts",
        "1",
    ]
    env = {"PYTHONPATH": str(ROOT), REDIS_VARIABLE: valkey.url}
    queue.put([Job(id=f"j{number}", body=body(f"j{number}", channel=f"thread:{number}")) for number in range(100)])
    stack.start("few", ["/bin/sh", "-c", 'ulimit -S -n 64; exec "$@"', "-", *worker], ready="working on queue", env=env)
    wait_until(lambda: queue.counts().finished_total + queue.counts().stalled == 100, timeout_s=15)
    assert queue.counts().finished_total == 100


def hand(queue: Queue, canary: Canary, *, box: str) -> Hand:
    metrics = PipelineMetrics()
    shop = Shop(queue=queue, accounts=Accounts(None, metrics), metrics=metrics, draining=Flag(), ack="delivered")
    return Hand(JSONAnonHTTPPipeline(fleet=Fleet([Box("push", box)]), canary=canary), shop)


def test_a_batch_with_more_channels_than_the_canary_may_listen_to_is_published_in_turns_and_leaves_in_order(
    queue: Queue, stack: Stack
) -> None:
    push = stack.push("push")
    canary = Canary(f"{push.url}/ev/", channels=3)
    worker = hand(queue, canary, box=push.url)
    queue.put([Job(id=f"j{number}", body=body(f"j{number}", channel=f"thread:{number % 8}")) for number in range(20)])
    with Reader(push, "thread:1") as reader:
        worker.handle(queue.claim("w", 20))
        assert (queue.counts().finished_total, canary.unseen_total) == (20, 0)
        seen = []
        while len(seen) < 3:
            seen = browser_events(reader.until(b"\n\n"))
    assert [json.loads(event.data)["job"] for event in seen] == ["j1", "j9", "j17"]
    assert len(canary._subscriptions) == 3
    canary.close()
    worker.pipeline.close(1.0)


def test_a_batch_that_is_ended_while_the_canary_waits_leaves_nothing_to_wait_for(
    queue: Queue, sink: Sink, stack: Stack
) -> None:
    canary = Canary(f"{stack.push('other').url}/ev/", wait_s=60)
    worker = hand(queue, canary, box=sink.url)
    queue.put([Job(id="j", body=body("j"))])
    batch = gevent.spawn(worker.handle, queue.claim("w", 1))
    wait_until(lambda: gevent.sleep(0.01) or sink.taken, timeout_s=5)
    gevent.sleep(0)
    assert canary._awaited
    batch.kill(timeout=5)
    assert canary._awaited == {}
    assert queue.counts().claimed == 0, "it was given back"
    canary.close()
    worker.pipeline.close(1.0)
