"""One worker, one loop: batches that compute leave room for the rest, and nobody is punished for another's standing still."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime_core.queue import Job
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import ODD, body, lines_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from realtime_core.queue import Queue
    from realtime_core.stack import Service

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

PIPELINE = f"{ODD}:Odd"
SLOW_TO_MAKE = f"{ODD}:SlowToMake"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return ["--set", f"file={tmp_path / 'out'}", "--set", f"runs={tmp_path / 'runs'}", "--backoff", "0.1"]


def hands(address: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return next(one.samples[0].value for one in families if one.name == "realtime_pipeline_hands")


def test_a_batch_that_computes_for_many_progress_timeouts_job_by_job_is_done_once_by_one_worker(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(120, burn_s=0.03)  # 3.6 s, and a worker that gave no sign of life for 2 s would be killed
    worker = run(PIPELINE, *words, "--lease", "5", "--progress-timeout", "0.5")
    wait_until(lambda: queue.counts().finished_total == 120, timeout_s=25)
    runs = lines_of(tmp_path / "runs")
    assert len(runs) == 120, "each job once"
    assert len({line[2] for line in runs}) == 1, "by one process"
    assert queue.counts().stale_total == 0
    log = worker.log.read_text()
    assert "no sign of life" not in log
    assert "no progress" not in log
    assert worker.stop(10) == 0


def test_a_hand_that_waits_while_another_computes_is_not_taken_to_hang(
    run: Run, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    # The first naps while the second keeps the loop to itself for longer than the limit, and less than the supervisor's.
    jobs = [Job(id="naps", body=body("naps", nap_s=0.5)), Job(id="burns", body=body("burns", burn_s=1.2))]
    assert all(queue.put(jobs))
    worker = run(PIPELINE, *words, "--lease", "5", "--progress-timeout", "0.8", "--batch", "1", "--hands", "2")
    wait_until(lambda: queue.counts().finished_total == 2, timeout_s=15)
    assert sorted(line[:2] for line in lines_of(tmp_path / "runs")) == [["burns", "1"], ["naps", "1"]]
    assert "no progress" not in worker.log.read_text()
    assert worker.stop(10) == 0


def test_while_a_mixin_s_constructor_waits_the_hands_that_are_there_go_on(
    run: Run, put: Put, queue: Queue, words: list[str]
) -> None:
    put(10, nap_s=0.1)
    worker = run(SLOW_TO_MAKE, *words, "--set", "make=wait", "--batch", "1", "--hands", "4")
    wait_until(lambda: queue.counts().finished_total == 10, timeout_s=10)
    assert worker.stop(10) == 0, "the hand that is being made does not hold up the end"


def test_where_making_a_pipeline_computes_for_too_long_there_is_one_hand_and_it_is_said_why(
    run: Run, put: Put, queue: Queue, words: list[str]
) -> None:
    put(10, nap_s=0.1)
    limits = ["--batch", "1", "--hands", "4", "--progress-timeout", "1", "--metrics", "0"]
    worker = run(SLOW_TO_MAKE, *words, "--set", "make=compute", *limits)
    address = ready_line(worker, "metrics on ")
    most = 0.0
    while queue.counts().finished_total < 10:
        most = max(most, hands(address))
    assert most == 1
    log = worker.log.read_text()
    assert "the limit beside batches in hand is 0.25 s" in log
    assert "once, where its module is imported" in log
    assert worker.stop(10) == 0
