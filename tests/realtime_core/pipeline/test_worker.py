"""The worker as it is run: a process of its own, between a real Valkey and real push servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime_core.free_ports import free_port
from realtime_core.hooks.event import event_job
from realtime_core.hooks.settings import Settings
from realtime_core.ledger import Ledger, balance, read
from realtime_core.queue import Job, Queue
from realtime_core.stack import ready_line
from tests.realtime_core.push.client import Reader, browser_events
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Service, Stack, Valkey

    Work = Callable[..., Service]

READY_MADE = "realtime_core.pipeline:JSONAnonHTTPPipeline"


@pytest.fixture
def work(stack: Stack, valkey: Valkey, redis_name: str) -> Work:
    """Start a worker on the test's queue and ledger; the words are added to its command line."""

    def start(*words: str, name: str = "worker", pipeline: str = READY_MADE) -> Service:
        argv = [sys.executable, "-P", "-m", "realtime_core.pipeline", pipeline, "--redis", valkey.url]
        argv += ["--queue", redis_name, "--ledger-name", redis_name, "--owner", name, *words]
        return stack.start(name, argv, ready="working on queue")

    return start


@pytest.fixture
def put(redis_client: Redis, redis_name: str) -> Callable[..., list[str]]:
    """Put jobs, and count them as hooks do."""
    queue = Queue(redis_client, redis_name, lease_s=1.0)
    ledger = Ledger(redis_client, redis_name, "producer")

    def put(count: int, first: int = 0, **changes: Any) -> list[str]:
        at = time.time()
        ids = [f"j{number}" for number in range(first, first + count)]
        data = {"text": "hi", "email": "a@example.org"}
        bodies = [
            {"v": 1, "job": name, "channels": ["thread:1"], "kind": "post_save", "model": "m", "key": 1, "at": at}
            | {"data": data}
            | changes
            for name in ids
        ]
        assert all(
            queue.put([Job(id=name, body=json.dumps(one).encode()) for name, one in zip(ids, bodies, strict=True)])
        )
        ledger.sent("queue>pipeline", ids, [at] * count)
        ledger.flush()
        return ids

    return put


def test_jobs_become_events_without_what_is_private_and_every_hop_comes_to_zero(
    stack: Stack, work: Work, put: Callable[..., list[str]], *, redis_client: Redis, redis_name: str, valkey: Valkey
) -> None:
    push = stack.push(
        "push", ledger=valkey.url, ledger_name=redis_name, hop_in="pipeline>push", hop_out="push>readers", owner="push"
    )
    worker = work("--box", f"push={push.url}", "--set", "anonymize=data.email:drop", "--metrics", "0")
    with Reader(push, "thread:1") as reader:
        put(100)
        wait_until(lambda: read_done(redis_client, redis_name) == 100, timeout_s=10)
        stream = b""
        seen = []
        while len(seen) < 100:
            stream = reader.until(b"\n\n")
            seen = browser_events(stream)
    fields = [json.loads(event.data) for event in seen]
    assert [event["job"] for event in fields] == [f"j{number}" for number in range(100)]
    assert all(event["data"] == {"text": "hi"} for event in fields)
    assert [event["id"] for event in fields] == [event.id for event in seen]
    assert len({event["id"] for event in fields}) == 100

    def balanced() -> bool:
        hops = {one.hop: one for one in balance(read(redis_client, redis_name))}
        return all(hops[name].sent == 100 and hops[name].balanced for name in ("queue>pipeline", "pipeline>push"))

    wait_until(balanced, timeout_s=10)
    metrics = exported(ready_line(worker, "metrics on "))
    assert metrics["realtime_publish_total", "accepted"] == 100
    assert metrics["realtime_pipeline_messages_total", "done"] == 500, "five stages"


def test_accounts_are_kept_as_long_as_worker_push_server_and_hooks_are_told(
    stack: Stack, work: Work, put: Callable[..., list[str]], *, redis_client: Redis, redis_name: str, valkey: Valkey
) -> None:
    push = stack.push(
        "push",
        ledger=valkey.url,
        ledger_name=redis_name,
        hop_in="pipeline>push",
        hop_out="push>readers",
        owner="push",
        options=["--ledger-keep", "200"],
    )
    work("--box", f"push={push.url}", "--ledger-keep", "100")
    hooks = Settings(redis=valkey.url, ledger=redis_name, ledger_keep_s=50.0).make_ledger(redis_client, "hooks")
    assert hooks is not None
    hooks.sent("hooks>queue", ["a"], time.time())
    hooks.close()
    put(1)

    def kept() -> dict[str, float]:
        owners = redis_client.scan_iter(f"led1:{{{redis_name}}}:owner:*")
        return {key.decode().rpartition(":")[2].partition("#")[0]: redis_client.ttl(key) for key in owners}

    wait_until(lambda: {"worker", "push", "hooks"} <= kept().keys(), timeout_s=10)
    found = kept()
    assert 0 < found["hooks"] <= 50 < found["worker"] <= 100 < found["push"] <= 200


def test_two_workers_publish_each_channel_in_the_order_of_its_puts(
    stack: Stack, work: Work, redis_client: Redis, redis_name: str
) -> None:
    push = stack.push("push")
    workers = [
        work("--box", f"push={push.url}", "--batch", "8", "--metrics", "0", name=name) for name in ("one", "two")
    ]
    at = time.time()
    jobs = [
        event_job(
            job_id=f"j{n}", channels=[f"t:{n % 2}"], kind="post_save", model="m", key=n, at=at, fields={"text": "hi"}
        )
        for n in range(600)
    ]
    with Reader(push, "t:0") as even, Reader(push, "t:1") as odd:
        Queue(redis_client, redis_name).put(jobs)
        deadline = time.monotonic() + 15
        for channel, reader in enumerate((even, odd)):
            while reader.stream.count(b"data:") < 300:
                reader._read(deadline)
            seen = [json.loads(event.data) for event in browser_events(reader.until(b"\n\n"))]
            assert [event["job"] for event in seen] == [f"j{n}" for n in range(channel, 600, 2)]
            assert [int(event["id"].partition("-")[2]) for event in seen] == list(range(1, 301))
    shares = [exported(ready_line(worker, "metrics on "))["realtime_publish_total", "accepted"] for worker in workers]
    assert sum(shares) == 600
    assert min(shares) > 0, "both had a part in it"


def read_done(redis: Redis, name: str) -> int:
    """How many jobs have been finished so far."""
    counts = Queue(redis, name).counts()
    return counts.finished_total


def exported(address: str) -> dict[tuple[str, str], float]:
    """Metric and outcome -> value, added up."""
    found: dict[tuple[str, str], float] = {}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            for sample in family.samples:
                key = (sample.name, sample.labels.get("outcome", ""))
                found[key] = found.get(key, 0.0) + sample.value
    return found


def test_a_job_that_nobody_can_read_is_set_aside_with_its_reason_and_its_neighbours_go_on(
    stack: Stack, work: Work, put: Callable[..., list[str]], redis_client: Redis, redis_name: str
) -> None:
    push = stack.push("push")
    put(1, kind="post_guess")
    put(2, first=1)
    work("--box", f"push={push.url}")
    queue = Queue(redis_client, redis_name)
    wait_until(lambda: queue.counts().finished_total == 2 and queue.counts().stalled == 1, timeout_s=10)
    [stalled] = queue.stalled()
    assert stalled.id == "j0"
    assert "post_guess" in stalled.reason


def test_jobs_of_a_worker_that_is_killed_are_done_by_another_once_the_lease_is_over(
    stack: Stack, work: Work, put: Callable[..., list[str]], redis_client: Redis, redis_name: str
) -> None:
    port = free_port()
    put(50)
    # The required box is away, so the first worker holds its claim.
    first = work("--box", f"push=http://127.0.0.1:{port}", "--lease", "2", name="first")
    queue = Queue(redis_client, redis_name, lease_s=2.0)
    wait_until(lambda: queue.counts().claimed == 50, timeout_s=10)
    os.kill(first.pid, signal.SIGKILL)
    push = stack.push("push", listen=("127.0.0.1", port))
    with Reader(push, "thread:1") as reader:
        work("--box", f"push={push.url}", "--lease", "2", name="second")
        wait_until(lambda: queue.counts().finished_total == 50, timeout_s=15)
        seen: set[str] = set()
        while len(seen) < 50:
            seen = {json.loads(event.data)["job"] for event in browser_events(reader.until(b"\n\n"))}
    assert seen == {f"j{number}" for number in range(50)}


def test_told_to_stop_it_ends_what_it_holds_and_closes_its_account(
    stack: Stack, work: Work, put: Callable[..., list[str]], redis_client: Redis, redis_name: str
) -> None:
    push = stack.push("push")
    worker = work("--box", f"push={push.url}")
    put(500)
    wait_until(lambda: read_done(redis_client, redis_name) > 0, timeout_s=10)
    assert worker.stop(10.0) == 0
    counts = Queue(redis_client, redis_name).counts()
    assert counts.claimed == 0
    assert counts.finished_total + counts.available + counts.delayed == 500
    hops = {one.hop: one for one in balance(read(redis_client, redis_name))}
    assert not any(owner.startswith("worker") for owner in hops["queue>pipeline"].open_owners)


def test_a_best_effort_box_that_is_dead_is_explained_and_holds_up_nobody(
    stack: Stack, work: Work, put: Callable[..., list[str]], redis_client: Redis, redis_name: str
) -> None:
    push = stack.push("push")
    worker = work("--box", f"push={push.url}", "--best-effort", f"dark=http://127.0.0.1:{free_port()}")
    put(20)
    wait_until(lambda: read_done(redis_client, redis_name) == 20, timeout_s=10)
    assert worker.stop(10.0) == 0
    dark = next(one for one in balance(read(redis_client, redis_name)) if one.hop == "pipeline>dark")
    assert dark.sent == 20
    assert sum(dark.explained.values()) == 20
    assert dark.balanced


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["no.such.module:Class", "--redis", "redis://127.0.0.1:1/0"], "no.such.module"),
        ([READY_MADE, "--redis", "redis://127.0.0.1:1/0", "--box", "push=ftp://h"], "ftp://h"),
        ([READY_MADE, "--redis", "redis://127.0.0.1:1/0"], "box"),
        ([READY_MADE, "--redis", "elsewhere", "--box", "push=http://127.0.0.1:1"], "elsewhere"),
        (
            [READY_MADE, "--redis", "redis://127.0.0.1:1/0", "--box", "p=http://127.0.0.1:1", "--set", "typo=1"],
            "typo",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_exit_2_in_one_line(words: list[str], named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "realtime_core.pipeline", *words, "--queue", "q"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert named in done.stderr.strip().splitlines()[-1]


def test_a_worker_has_loaded_what_accounting_takes_before_it_says_that_it_works(work: Work) -> None:
    """Numpy's import stops it for a tenth of a second: no message may wait for that."""
    worker = work("--box", f"push=http://127.0.0.1:{free_port()}")
    assert "numpy" in Path(f"/proc/{worker.pid}/maps").read_text()
