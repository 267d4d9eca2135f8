"""Workers that are killed or stopped, and a server that is started again under them: the others go on, and the books balance."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from realtime_core.ledger import Ledger, balance, read
from realtime_core.pipeline.accounts import JOBS_HOP
from realtime_core.queue import Job, Listener, Queue
from realtime_core.queue.queue import LOOK_EVERY_S
from tests.realtime_core.pipeline.conftest import ODD, ROOT, body, lines_of
from tests.support.pauses import Pauses
from tests.support.processes import descendants, running, stopped
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from realtime_core.ledger import HopBalance
    from realtime_core.stack import Service, Stack, Valkey
    from tests.realtime_core.pipeline.sink import Sink

    Run = Callable[..., Service]
    Put = Callable[..., list[str]]

BACK_S = 5.0


@pytest.fixture
def alone(stack: Stack, valkey: Valkey, redis_name: str) -> Run:
    """Start one worker without a supervisor, so that nobody takes its place."""

    def alone(name: str, pipeline: str, *words: str) -> Service:
        argv = [sys.executable, "-P", "-m", "realtime_core.pipeline", pipeline, "--redis", valkey.url]
        argv += ["--queue", redis_name, "--ledger-name", redis_name, "--owner", name, *words]
        return stack.start(name, argv, ready="working on queue", env={"PYTHONPATH": str(ROOT)})

    return alone


@pytest.fixture
def offered(put: Put, redis_client: Redis, redis_name: str) -> Put:
    """Put jobs, and count them as hooks do."""

    def offered(count: int) -> list[str]:
        ids = put(count)
        producer = Ledger(redis_client, redis_name, "producer")
        producer.sent(JOBS_HOP, ids, 1.5)  # the time in their bodies
        producer.close()
        return ids

    return offered


@pytest.fixture
def hops(redis_client: Redis, redis_name: str) -> Callable[[], dict[str, HopBalance]]:
    return lambda: {one.hop: one for one in balance(read(redis_client, redis_name))}


def stop(worker: Service) -> None:
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(worker.pid))


def recovered_after_s(
    queue: Queue, alone: Run, put: Put, redis: Redis, *, valkey: Valkey, out: Path, lease_s: float
) -> tuple[float, float, float]:
    """A worker is killed with 20 jobs in hand: from its end, and from that of its leases, to their claims by one that was idle.

    By Redis' clock; the third is what the machine's pauses were since the leases ended.
    """
    words = ["--set", f"file={out}", "--lease", str(lease_s)]
    dies = alone("dies", f"{ODD}:Odd", *words)
    put(20, wait=True)
    wait_until(lambda: queue.counts().claimed == 20, timeout_s=10)
    listener = Listener(queue)
    with valkey.client() as asked, Pauses(asked.ping) as pauses:
        alone("lives", f"{ODD}:Odd", *words)
        dies.kill()
        wait_until(lambda: not running(dies.pid))
        killed_at = float(".".join(f"{part:06d}" for part in redis.time()))
        until = redis.zrange(queue._keys["claimed"], -1, -1, withscores=True)[0][1] / 1000
        claimed: dict[str, float] = {}
        while len(claimed) < 20:
            notices = listener.notices(20.0)
            assert notices, "nobody claimed them"
            claimed |= {notice.id: notice.at for notice in notices if notice.move == "claimed"}
        paused_s = pauses.between(until, max(claimed.values()))
    listener.close()
    wait_until(lambda: queue.counts().finished_total == 20, timeout_s=10)
    assert queue.audit().clean
    return max(claimed.values()) - killed_at, max(claimed.values()) - until, paused_s


@pytest.mark.parametrize("lease_s", [1.0, 4.0])
def test_an_idle_worker_has_the_jobs_of_one_that_was_killed_one_interval_after_the_end_of_their_leases(
    queue: Queue, alone: Run, put: Put, redis_client: Redis, *, valkey: Valkey, tmp_path: Path, lease_s: float
) -> None:
    _, after_s, paused_s = recovered_after_s(
        queue, alone, put, redis_client, valkey=valkey, out=tmp_path / "out", lease_s=lease_s
    )
    assert after_s <= LOOK_EVERY_S + paused_s


@pytest.mark.long
@pytest.mark.quiet
def test_with_a_lease_of_a_second_a_killed_workers_jobs_are_with_another_after_two_and_a_half(
    queue: Queue,
    alone: Run,
    put: Put,
    redis_client: Redis,
    *,
    valkey: Valkey,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    took_s, _, _ = recovered_after_s(queue, alone, put, redis_client, valkey=valkey, out=tmp_path / "out", lease_s=1.0)
    record_property("claimed again after, s", round(took_s, 3))
    assert took_s <= 2.5


def test_a_worker_that_was_stopped_publishes_and_settles_nothing_of_what_another_has_done_meanwhile(
    queue: Queue,
    alone: Run,
    offered: Put,
    hops: Callable[[], dict[str, HopBalance]],
    *,
    stack: Stack,
    valkey: Valkey,
    redis_name: str,
    tmp_path: Path,
) -> None:
    push = stack.push(
        "push", ledger=valkey.url, ledger_name=redis_name, hop_in="pipeline>push", hop_out="push>readers", owner="push"
    )
    held = tmp_path / "held"
    held.touch()
    words = ["--box", f"push={push.url}", "--lease", "1"]
    words += ["--set", f"while={held}", "--set", f"runs={tmp_path / 'runs'}"]
    first = alone("first", f"{ODD}:Held", *words)
    offered(20)
    wait_until(lambda: len(lines_of(tmp_path / "runs")) == 20, timeout_s=10)
    stop(first)
    try:
        second = alone("second", f"{ODD}:Held", *words)
        wait_until(lambda: queue.counts().finished_total == 20, timeout_s=20)
        held.unlink()
    finally:
        os.kill(first.pid, signal.SIGCONT)
    wait_until(lambda: queue.counts().stale_total >= 20, timeout_s=15)
    assert first.stop(10) == 0
    assert second.stop(10) == 0
    counts = queue.counts()
    assert (counts.put_total, counts.finished_total, counts.held) == (20, 20, 0)
    assert queue.audit().clean
    assert sorted(attempt for _, attempt in lines_of(tmp_path / "runs")) == ["1"] * 20 + ["2"] * 20

    def balanced() -> bool:
        jobs, events = hops()[JOBS_HOP], hops().get("pipeline>push")
        return jobs.balanced and events is not None and events.balanced and (jobs.sent, events.sent) == (20, 20)

    wait_until(balanced, timeout_s=10)


def test_a_worker_that_was_stopped_while_a_box_answered_it_is_late_and_what_another_finished_stays_so(
    queue: Queue, alone: Run, offered: Put, hops: Callable[[], dict[str, HopBalance]], sink: Sink
) -> None:
    sink.delay_s = 1.5
    words = ["--box", f"push={sink.url}", "--lease", "1"]
    first = alone("first", "realtime_core.pipeline:JSONAnonHTTPPipeline", *words)
    offered(20)
    wait_until(lambda: sink.heard >= 20, timeout_s=10)
    stop(first)
    try:
        assert queue.counts().claimed == 20, "it was stopped before the box answered"
        sink.delay_s = 0.0
        second = alone("second", "realtime_core.pipeline:JSONAnonHTTPPipeline", *words)
        wait_until(lambda: queue.counts().finished_total == 20, timeout_s=20)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    wait_until(lambda: queue.counts().stale_total >= 20, timeout_s=15)
    assert first.stop(10) == 0
    assert second.stop(10) == 0
    counts = queue.counts()
    assert (counts.put_total, counts.finished_total, counts.held) == (20, 20, 0)
    assert queue.audit().clean
    jobs = hops()[JOBS_HOP]
    assert (jobs.sent, jobs.received, jobs.balanced) == (20, 20, True)


def back_after_s(own: Valkey, run: Run, sink: Sink, *, busy: bool, killed: bool = False) -> float:
    """Redis ends and is started again under a running worker; seconds from its answering to the next job that is finished.

    ``killed``: with SIGKILL. What it had not written then it may have forgotten, settlements too: their jobs come again.
    """
    with own.client() as redis:
        queue = Queue(redis, "q")

        def put(first: int) -> None:
            queue.put([Job(id=f"j{n}", body=body(f"j{n}"), key=f"k{n % 7}") for n in range(first, first + 200)])

        sink.delay_s = 0.1
        words = ["--redis", own.url, "--queue", "q", "--box", f"push={sink.url}", "--batch", "5", "--hands", "2"]
        worker = run("JSONParser+HTTPPublisher", *words, "--lease", "3")
        [pid] = descendants(worker.pid)
        put(0)
        assert redis.waitaof(1, 0, 5000)[0] == 1, "they are on the disk: who puts has no more than that"
        enough = 20 if busy else 200
        wait_until(lambda: queue.counts().finished_total >= enough, timeout_s=15)
        if killed:
            own.kill()
        else:
            own.service.stop()
        wait_until(lambda: "Redis failed" in worker.log.read_text(), timeout_s=10)
        own.restart()
        began, before = time.monotonic(), queue.counts().finished_total
        assert busy == (before < 200), "it was told to end in the middle of it, or when all was done"
        put(200)
        wait_until(lambda: queue.counts().finished_total > before, timeout_s=20)
        took_s = time.monotonic() - began
        wait_until(lambda: queue.counts().finished_total == 400, timeout_s=20)
        assert descendants(worker.pid) == [pid], "nobody started it again"
        counts = queue.counts()
        assert (counts.put_total, counts.held) == (400, 0)
        assert queue.audit().clean
        assert sink.taken.keys() == {f"j{number}" for number in range(400)}
        assert worker.stop(10) == 0
    return took_s


@pytest.mark.parametrize(
    ("busy", "killed"), [(True, False), (False, False), (True, True)], ids=["busy", "idle", "killed while busy"]
)
def test_when_redis_is_started_again_a_running_worker_goes_on_by_itself_and_nothing_is_lost(
    stack: Stack, run: Run, sink: Sink, *, busy: bool, killed: bool
) -> None:
    back_after_s(stack.valkey(), run, sink, busy=busy, killed=killed)


@pytest.mark.long
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_when_redis_is_back_a_worker_has_finished_a_job_within_five_seconds(
    stack: Stack, run: Run, sink: Sink, record_property: Callable[[str, object], None], *, busy: bool
) -> None:
    took_s = back_after_s(stack.valkey(), run, sink, busy=busy)
    record_property("s until a job was finished", round(took_s, 3))
    assert took_s < BACK_S
