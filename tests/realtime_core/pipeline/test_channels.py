"""One job, several channels: an event for each, accounted for by itself, and one verdict on the job."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from realtime_core.ledger import Ledger, balance, read
from realtime_core.pipeline.accounts import JOBS_HOP
from realtime_core.pipeline.batch import Batch
from realtime_core.pipeline.dry import claim_of
from realtime_core.publish import Event, Outcome
from realtime_core.publish.outcome import TOO_BIG, UNSEEN, failed
from realtime_core.queue import Cancel, Finish, GiveBack, Job, Queue, Stall
from tests.realtime_core.pipeline.conftest import ROOT
from tests.realtime_core.push.client import Reader, browser_events
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from realtime_core.ledger import HopBalance
    from realtime_core.stack import Service, Stack, Valkey
    from tests.realtime_core.pipeline.sink import Sink

    Work = Callable[..., Service]

JOBS = 30
CHANNELS = ["thread:1", "user:1"]


@pytest.fixture
def offered(queue: Queue, redis_client: Redis, redis_name: str) -> list[str]:
    """Jobs of two channels each, counted as hooks count them."""
    ids = [f"j{number}" for number in range(JOBS)]
    fields = {
        "v": 1,
        "channels": CHANNELS,
        "kind": "post_save",
        "model": "m",
        "key": 1,
        "at": 1.5,
        "data": {"text": "hi"},
    }
    queue.put([Job(id=id_, body=json.dumps(fields | {"job": id_}).encode(), key=CHANNELS[0]) for id_ in ids])
    producer = Ledger(redis_client, redis_name, "producer")
    producer.sent(JOBS_HOP, ids, 1.5)
    producer.close()
    return ids


@pytest.fixture
def work(stack: Stack, valkey: Valkey, redis_name: str) -> Work:
    def work(*words: str) -> Service:
        argv = [sys.executable, "-P", "-m", "realtime_core.pipeline", "realtime_core.pipeline:JSONAnonHTTPPipeline"]
        argv += ["--redis", valkey.url, "--queue", redis_name, "--ledger-name", redis_name, "--owner", "worker", *words]
        return stack.start("worker", argv, ready="working on queue", env={"PYTHONPATH": str(ROOT)})

    return work


@pytest.fixture
def hop(redis_client: Redis, redis_name: str) -> Callable[[str], HopBalance | None]:
    return lambda name: next((one for one in balance(read(redis_client, redis_name)) if one.hop == name), None)


def test_a_job_of_two_channels_is_an_event_on_each_and_both_are_in_the_books(
    stack: Stack,
    work: Work,
    offered: list[str],
    queue: Queue,
    *,
    hop: Callable[[str], HopBalance | None],
    valkey: Valkey,
    redis_name: str,
) -> None:
    push = stack.push(
        "push", ledger=valkey.url, ledger_name=redis_name, hop_in="pipeline>push", hop_out="push>readers", owner="push"
    )
    with Reader(push, CHANNELS[0]) as thread, Reader(push, CHANNELS[1]) as user:
        work("--box", f"push={push.url}", "--batch", "7")
        wait_until(lambda: queue.counts().finished_total == JOBS, timeout_s=10)
        for reader in (thread, user):
            while reader.stream.count(b"data:") < JOBS:
                reader._read(time.monotonic() + 10)
            seen = browser_events(reader.until(b"\n\n"))
            assert [json.loads(event.data)["job"] for event in seen] == offered
            assert [int(event.id.partition("-")[2]) for event in seen] == list(range(1, JOBS + 1))

    def balanced() -> bool:
        jobs, events = hop(JOBS_HOP), hop("pipeline>push")
        return bool(jobs and events and jobs.balanced and events.balanced and events.sent == 2 * JOBS)

    wait_until(balanced, timeout_s=10)
    jobs = hop(JOBS_HOP)
    assert jobs is not None
    assert (jobs.sent, jobs.received) == (JOBS, JOBS), "a job is one, however many channels it has"


def test_a_job_whose_second_channel_is_refused_for_good_is_set_aside_and_what_the_first_took_is_in_the_books(
    work: Work, offered: list[str], queue: Queue, sink: Sink, *, hop: Callable[[str], HopBalance | None]
) -> None:
    sink.statuses["user:1"] = 403
    worker = work("--box", f"push={sink.url}")
    wait_until(lambda: queue.counts().stalled == JOBS, timeout_s=10)
    assert {job.reason for job in queue.stalled()} == {"publish: push: status_4xx (403)"}
    assert {id_: len(times) for id_, times in sink.taken.items()} == dict.fromkeys(offered, 1)
    assert worker.stop(10) == 0
    events, jobs = hop("pipeline>push"), hop(JOBS_HOP)
    assert events is not None
    assert jobs is not None
    assert events.sent == JOBS, "those of the channel that took them, and no others"
    assert jobs.balanced
    # Once it is put right, a retry publishes to both, with the ids that they had.
    sink.statuses.clear()
    queue.retry(offered)
    claims = queue.claim("w", JOBS)
    assert [ids[1].partition("-")[2] for ids in queue.stamp(claims, [CHANNELS] * len(claims))] == [
        str(number) for number in range(1, len(claims) + 1)
    ]
    queue.settle([Finish(claim) for claim in claims])


def test_a_job_whose_second_channel_fails_for_a_while_comes_again_and_is_finished_once_both_have_it(
    work: Work, offered: list[str], queue: Queue, sink: Sink, *, hop: Callable[[str], HopBalance | None]
) -> None:
    sink.statuses["user:1"] = 500
    worker = work("--box", f"push={sink.url}", "--lease", "3", "--backoff", "0.05", "--attempts", "50")
    wait_until(lambda: queue.counts().cancelled_total > 0, timeout_s=15)
    assert queue.counts().finished_total == 0, "no job leaves while one of its channels has not got it"
    sink.statuses.clear()
    wait_until(lambda: queue.counts().finished_total == JOBS, timeout_s=20)
    assert worker.stop(10) == 0
    jobs, events = hop(JOBS_HOP), hop("pipeline>push")
    assert jobs is not None
    assert jobs.balanced
    assert events is not None
    assert events.sent == sum(map(len, sink.taken.values())) >= 2 * JOBS
    assert sink.taken.keys() == set(offered)
    assert queue.audit().clean


YES = Outcome(accepted=True)
AWAY = failed("refused")
NEVER = Outcome(accepted=False, reason="status_4xx", status=403)
BIG = failed(TOO_BIG)


def judged(
    channels: Sequence[int], outcomes: Mapping[str, Sequence[Outcome]], *, attempt: int = 1, at_once: bool = False
) -> tuple[list[type], list[str], int]:
    """The verdicts on jobs with so many channels each, the reasons of those that failed, and how many are said to have."""
    claims = [replace(claim_of(f"j{number}", b""), attempt=attempt) for number in range(len(channels))]
    batch = Batch(claims, max_attempts=3, backoff_base_s=1.0, chance=0.0)
    for item, count in zip(batch.items, channels, strict=True):
        item.events = [Event(id="1-1", channel=f"c{n}", at=1.5, line=b"{}") for n in range(count)]
    failures = batch.judge(batch.items, outcomes, again_at_once=at_once)
    verdicts = batch.to_settle()
    reasons = [verdict.reason for verdict in verdicts if isinstance(verdict, Cancel | Stall)]
    return [type(verdict) for verdict in verdicts], reasons, failures


@pytest.mark.parametrize(
    ("first", "second", "verdict", "said"),
    [
        (YES, NEVER, Stall, "publish: push: status_4xx (403)"),
        (NEVER, YES, Stall, "publish: push: status_4xx (403)"),
        (YES, BIG, Stall, "publish: push: too_big"),
        (YES, AWAY, Cancel, "publish: push: refused"),
        (AWAY, YES, Cancel, "publish: push: refused"),
        (AWAY, NEVER, Stall, "publish: push: status_4xx (403)"),
        (NEVER, AWAY, Stall, "publish: push: status_4xx (403)"),
        (failed("timeout"), AWAY, Cancel, "publish: push: timeout"),
    ],
)
def test_a_job_is_finished_when_all_of_its_channels_are_and_its_worst_one_decides_otherwise(
    first: Outcome, second: Outcome, verdict: type, said: str
) -> None:
    # Its neighbours, one with a channel and one with three, are finished whatever becomes of it.
    outcomes = {"push": [YES, first, second, YES, YES, YES]}
    assert judged([1, 2, 3], outcomes) == ([Finish, verdict, Finish], [said], 1)


def test_what_is_for_good_at_one_box_decides_over_what_may_pass_at_another() -> None:
    outcomes = {"one": [YES, AWAY, YES, YES], "two": [YES, YES, NEVER, YES]}
    assert judged([1, 2, 1], outcomes) == ([Finish, Stall, Finish], ["publish: two: status_4xx (403)"], 1)
    outcomes = {"one": [YES, YES, NEVER, YES], "two": [YES, AWAY, YES, YES]}
    assert judged([1, 2, 1], outcomes) == ([Finish, Stall, Finish], ["publish: one: status_4xx (403)"], 1)


def test_at_its_last_attempt_a_job_with_a_channel_that_may_pass_is_set_aside() -> None:
    assert judged([2, 2], {"push": [YES, AWAY, YES, YES]}, attempt=3) == (
        [Stall, Finish],
        ["publish: push: refused"],
        1,
    )


def test_when_the_worker_ends_a_job_with_a_channel_that_was_not_waited_for_is_given_back() -> None:
    assert judged([2, 1], {"push": [YES, AWAY, YES]}, at_once=True) == ([GiveBack, Finish], [], 1)
    assert judged([2, 1], {"push": [YES, NEVER, YES]}, at_once=True)[0] == [Stall, Finish]
    unseen = {"push": [YES, YES, YES], "canary": [YES, failed(UNSEEN), YES]}
    assert judged([2, 1], unseen, at_once=True) == ([Cancel, Finish], ["publish: canary: unseen"], 1)


def test_a_job_without_a_channel_takes_no_other_jobs_outcome() -> None:
    assert judged([0, 2, 0, 1], {"push": [YES, AWAY, YES]})[0] == [Finish, Cancel, Finish, Finish]


def test_a_job_that_left_before_it_was_published_keeps_its_verdict_and_its_failure_is_counted() -> None:
    batch = Batch([claim_of("a", b""), claim_of("b", b"")], max_attempts=3, backoff_base_s=1.0, chance=0.0)
    for item in batch.items:
        item.events = [Event(id="1-1", channel=name, at=1.5, line=b"{}") for name in ("c", "d")]
    early, late = batch.items
    batch.finish([early])
    assert batch.judge(batch.items, {"push": [YES, NEVER, YES, AWAY]}, again_at_once=False) == 2
    assert isinstance(early.verdict, Finish)
    assert isinstance(late.verdict, Cancel)
