"""A job that breaks whatever it meets fails alone, with its reason; its neighbours in the batch do not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from realtime_core.free_ports import free_port
from realtime_core.ledger import balance, read
from realtime_core.queue import Job
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import ODD, body, lines_of
from tests.realtime_core.pipeline.test_run import Sampler
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from realtime_core.queue import Queue
    from realtime_core.stack import Service
    from tests.realtime_core.pipeline.sink import Sink

BREAKING = f"{ODD}:Breaking"


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        ("parsed to nothing", "parse: TypeError: None was made of it: a Message is needed"),
        ("computed to a dict", "compute: TypeError: {'channels': ['thread:1']} was made of it: a Message is needed"),
        ("time", "compute: TypeError: at=nan: seconds UTC are needed"),
        ("time-out", "compute: Timeout: 3 seconds"),
        ("channel", "stamp: ConfigurationError: channel 'no spaces please': use 1 to 128 of A-Z a-z 0-9 _ . : -"),
        ("channels are a number", "stamp: TypeError: 'int' object is not iterable"),
        ("publish", "publish: LookupError: there is no such box"),
        ("outcomes", "publish: TypeError: publish returned [] for push: one Outcome an event is needed"),
    ],
)
def test_a_job_that_breaks_a_stage_fails_alone_with_its_reason_and_its_neighbours_are_done_at_their_first_attempt(
    run: Callable[..., Service], queue: Queue, sink: Sink, tmp_path: Path, *, breaks: str, reason: str
) -> None:
    jobs = [Job(id=f"j{number}", body=body(f"j{number}")) for number in range(8)]
    jobs.insert(4, Job(id="bad", body=body("bad", breaks=breaks)))
    assert all(queue.put(jobs))
    words = ["--box", f"push={sink.url}", "--set", f"runs={tmp_path / 'runs'}", "--metrics", "0"]
    worker = run(BREAKING, *words, "--attempts", "2", "--backoff", "0.05", "--lease", "2")
    sampler = Sampler(ready_line(worker, "metrics on "))
    wait_until(lambda: queue.counts().finished_total == 8 and queue.counts().stalled == 1, timeout_s=10)
    [stalled] = queue.stalled()
    assert (stalled.id, stalled.attempts, stalled.reason) == ("bad", 2, reason)
    runs = lines_of(tmp_path / "runs")
    assert sorted(runs) == sorted([["bad", "1"], ["bad", "2"], *([f"j{number}", "1"] for number in range(8))])
    assert worker.stop(10) == 0
    sampler.end()
    assert sampler.wrong == []


def test_what_a_mixin_broke_over_is_accounted_for_at_best_effort_boxes_too(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue, sink: Sink, *, redis_client: Redis
) -> None:
    put(4)
    put(1, first=4, breaks="publish")
    put(4, first=5)
    words = ["--box", f"push={sink.url}", "--best-effort", f"dark=http://127.0.0.1:{free_port()}"]
    worker = run(BREAKING, *words, "--ledger-name", queue.name, "--attempts", "2", "--backoff", "0.05")
    wait_until(lambda: queue.counts().finished_total == 8 and queue.counts().stalled == 1, timeout_s=10)
    assert worker.stop(10) == 0
    dark = next(one for one in balance(read(redis_client, queue.name)) if one.hop == "pipeline>dark")
    assert sum(dark.explained.values()) == 8
    assert dark.balanced


def test_figures_that_cannot_be_told_are_left_out_and_said_once_and_the_worker_goes_on(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue, sink: Sink
) -> None:
    worker = run(BREAKING, "--box", f"push={sink.url}")
    wait_until(lambda: "no figures today" in worker.log.read_text(), timeout_s=5)
    for first in (0, 5):
        put(5, first=first)
        wait_until(lambda done=first + 5: queue.counts().finished_total == done, timeout_s=5)
    assert worker.stop(10) == 0
    assert worker.log.read_text().count("figures() of Breaking failed") == 1
