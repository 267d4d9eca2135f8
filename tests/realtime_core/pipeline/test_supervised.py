"""Workers under their supervisor: jobs that burn, hang or kill, and how all of it ends."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.supervisor import REDIS_VARIABLE, Supervisor
from realtime_core.queue import Job
from realtime_core.queue.keys import older_jobs_key
from tests.realtime_core.pipeline.conftest import ODD, ROOT, body, lines_of
from tests.realtime_core.pipeline.test_worker import exported
from tests.support.processes import descendants, running
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from realtime_core.queue import Queue
    from realtime_core.stack import Service, Stack, Valkey

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

PIPELINE = f"{ODD}:Odd"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return ["--set", f"file={tmp_path / 'out'}", "--set", f"runs={tmp_path / 'runs'}", "--backoff", "0.1"]


def test_a_job_that_burns_cpu_for_five_leases_runs_once(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(1, burn_s=2.0)
    worker = run(PIPELINE, *words, "--lease", "0.4", "--progress-timeout", "9")
    wait_until(lambda: queue.counts().finished_total == 1, timeout_s=20)
    assert [line[:2] for line in lines_of(tmp_path / "runs")] == [["j0", "1"]]
    assert worker.stop(10) == 0


def test_a_stage_that_waits_for_ever_is_ended_and_reported_and_the_worker_goes_on(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(1, wait=True)
    put(3, first=1)
    worker = run(PIPELINE, *words, "--lease", "5", "--progress-timeout", "0.5")
    wait_until(lambda: queue.counts().finished_total == 4, timeout_s=20)
    runs = lines_of(tmp_path / "runs")
    assert [line[1] for line in runs if line[0] == "j0"] == ["1", "2"]
    assert len({line[2] for line in runs}) == 1, "no process had to end for it"
    assert "stage compute of a batch of 4 jobs shows no progress" in worker.log.read_text()
    assert worker.stop(10) == 0


def test_a_worker_that_hangs_is_killed_and_started_again_and_its_jobs_are_done(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(1, hang=True)
    put(3, first=1)
    worker = run(PIPELINE, *words, "--lease", "0.5", "--progress-timeout", "0.5")
    wait_until(lambda: queue.counts().finished_total == 4, timeout_s=25)
    runs = [line for line in lines_of(tmp_path / "runs") if line[0] == "j0"]
    assert [line[1] for line in runs] == ["1", "2"]
    assert runs[0][2] != runs[1][2], "another process"
    assert "gave no sign of life" in worker.log.read_text()
    assert worker.stop(10) == 0


def test_a_job_that_kills_its_worker_is_set_aside_after_its_attempts_and_its_neighbours_are_done(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(4)
    assert queue.put([Job(id="poison", body=body("poison", die=True))]) == [True]
    put(4, first=4)
    run(PIPELINE, *words, "--lease", "0.5", "--attempts", "3")
    wait_until(lambda: queue.counts().finished_total == 8 and queue.counts().stalled == 1, timeout_s=25)
    [poison] = queue.stalled()
    assert (poison.id, poison.attempts) == ("poison", 3)
    assert sum(line[0] == "poison" for line in lines_of(tmp_path / "runs")) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_a_queue_that_holds_jobs_of_the_older_format_ends_the_run_with_2_and_a_worker_says_so_once(
    run: Run, redis_client: Redis, redis_name: str, words: list[str], workers: int
) -> None:
    redis_client.hset(older_jobs_key(redis_name), "a", b" body")
    worker = run(PIPELINE, *words, "--workers", str(workers))
    wait_until(lambda: not worker.alive(), timeout_s=15)
    assert worker.stop(1) == 2
    said = worker.log.read_text()
    assert 1 <= said.count("holds 1 jobs in the format before") <= workers
    assert "Traceback" not in said


def supervisor(script: str, workers: int = 2, **limits: Any) -> Supervisor:
    return Supervisor(lambda *_: ["/bin/sh", "-c", script], workers, drain_s=0.1, **limits)


def test_workers_that_die_too_often_end_the_run_with_1() -> None:
    started = time.monotonic()
    dying = supervisor("exit 9", workers=4, restarts=3)
    assert dying.run() == 1
    assert dying.restarted <= 3
    assert time.monotonic() - started < 10


def test_a_worker_that_refuses_is_not_started_again() -> None:
    refusing = supervisor("exit 2", workers=1)
    assert refusing.run() == 2
    assert refusing.restarted == 0


def test_a_worker_that_ends_with_0_though_nobody_told_it_to_is_started_again_within_the_bounds_of_those_that_die() -> (
    None
):
    leaving = supervisor("exit 0", workers=1, restarts=2)
    assert leaving.run() == 1
    assert leaving.restarted == 2


@contextmanager
def told_to_end(once: Path) -> Iterator[None]:
    """Tell the supervisor that runs in this process to end when the file is there, or after ten seconds."""
    over = threading.Event()

    def tell() -> None:
        until = time.monotonic() + 10
        while not over.wait(0.02):
            if once.exists() or time.monotonic() > until:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        yield
    finally:
        over.set()
        telling.join(5)


def test_a_worker_that_cannot_be_started_again_at_once_is_tried_again(tmp_path: Path) -> None:
    there = tmp_path / "there"
    commands = iter([["/bin/sh", "-c", "exit 9"], ["/there/is/no/such/file"]])
    staying = ["/bin/sh", "-c", f"touch {there}; exec sleep 60"]
    trying = Supervisor(lambda *_: next(commands, staying), 1, drain_s=0.1)
    with told_to_end(once=there):
        assert trying.run() == 0
    assert there.exists()
    assert trying.restarted == 1


def test_workers_that_can_never_be_started_end_the_run_with_1() -> None:
    never = Supervisor(lambda *_: ["/there/is/no/such/file"], 2, drain_s=0.1, restarts=2)
    assert never.run() == 1


def test_a_worker_that_hangs_ends_with_a_supervisor_that_is_killed(
    run: Run, put: Put, queue: Queue, words: list[str], tmp_path: Path
) -> None:
    put(1, hang=True)
    worker = run(PIPELINE, *words, "--workers", "2", "--drain", "0.1")
    wait_until(lambda: lines_of(tmp_path / "runs"), timeout_s=10)
    children = descendants(worker.pid)
    assert len(children) >= 2
    os.kill(worker.pid, signal.SIGKILL)
    try:
        wait_until(lambda: not [pid for pid in children if running(pid)], timeout_s=15)
    finally:
        for pid in filter(running, children):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_that_does_not_end_in_time_is_killed_and_it_is_said_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_core.pipeline.supervisor.GRACE_S", 0.3)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    before = set(descendants())
    assert supervisor("trap '' TERM; while :; do sleep 5; done", workers=1).run() == 1
    wait_until(lambda: not set(descendants()) - before, timeout_s=2, what="the end of what the worker had started")


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 129}, {"restarts": -1}], ids=["none", "many", "less"])
def test_limits_of_the_supervisor_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        supervisor("exit 0", **wrong)


def test_told_once_it_drains_and_told_twice_it_ends_at_once_with_130(
    run: Run, put: Put, queue: Queue, words: list[str]
) -> None:
    put(1, wait=True)
    worker = run(PIPELINE, *words, "--drain", "30", "--lease", "60", "--workers", "2")
    wait_until(lambda: queue.counts().claimed == 1, timeout_s=10)
    children = descendants(worker.pid)
    assert len(children) >= 2
    os.kill(worker.pid, signal.SIGTERM)
    time.sleep(0.3)  # it must not have ended: the batch may take 30 s
    assert worker.alive()
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: not worker.alive(), timeout_s=5)
    assert worker.stop(1) == 130
    assert not [pid for pid in children if running(pid)]


def test_a_single_worker_told_twice_ends_at_once_with_130(
    put: Put, queue: Queue, words: list[str], stack: Stack, valkey: Valkey
) -> None:
    put(1, wait=True)
    argv = [
        sys.executable,
        "-P",
        "-m",
        "realtime_core.pipeline",
        PIPELINE,
        *words,
        "--drain",
        "30",
        "--queue",
        queue.name,
    ]
    env = {"PYTHONPATH": str(ROOT), REDIS_VARIABLE: valkey.url}
    worker = stack.start("alone", argv, ready="working on queue", env=env)
    wait_until(lambda: queue.counts().claimed == 1, timeout_s=10)
    os.kill(worker.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert worker.alive()
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: not worker.alive(), timeout_s=5)
    assert worker.stop(1) == 130


def test_each_worker_has_a_port_of_its_own_and_when_their_supervisor_is_killed_they_drain_and_end(
    run: Run, put: Put, queue: Queue, words: list[str]
) -> None:
    worker = run(PIPELINE, *words, "--workers", "2", "--metrics", "0")

    def addresses() -> set[str]:
        return set(re.findall(r"metrics on (\S+)", worker.log.read_text()))

    wait_until(lambda: len(addresses()) == 2, timeout_s=10)
    for address in addresses():
        assert exported(address)["realtime_pipeline_hands", ""] == 1
    put(3)
    counted = "realtime_pipeline_mixin", ""  # what a mixin counts by itself
    wait_until(lambda: sum(exported(address).get(counted, 0) for address in addresses()) == 3, timeout_s=5)
    children = descendants(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in children if running(pid)], timeout_s=10)
    assert queue.counts().claimed == 0
