"""What a kill -9 of the consumer costs each queue: jobs lost, done twice, and left behind.

A job works for a moment, then leaves its effect. The consumer (with all its processes) is killed again and again while it
works, and started anew each time; then all consumers go on for a while. Each queue has a server of its own.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.stack import Stack
from tests.support.processes import descendants, kill
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis import Redis

    from realtime_core.stack import Valkey

ROOT = Path(__file__).parents[2]
CHILD = "import sys; from tests.bench.losses import main; main(*sys.argv[1:])"
JOBS = 2_000
KILLS = 10
WAIT_S = 120.0
WORK_S = 0.002
PUT_S = 60.0
PROGRESS_S = 60.0
EFFECTS_DB = 1
EFFECTS = "done"
LAST = "last"
ID = re.compile(rb"job-\d{6}")
# Our queue's memory of ids that were put: who is only there is in no state.
MEMORY = (b":recent", b":older")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A queue with the settings that it is killed with, and how they are told."""

    name: str
    told: str
    settings: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case(name="ours", told="batch 1, lease 2 s", settings={"batch": 1, "lease_s": 2.0}),
    Case(name="ours", told="batch 16, lease 2 s", settings={"batch": 16, "lease_s": 2.0}),
    Case(name="Dramatiq", told="as it comes: 8 threads, heartbeat 60 s, maintenance with 1 of 1,000 commands"),
    Case(
        name="Dramatiq",
        told="heartbeat 5 s, maintenance with each command",
        settings={"heartbeat_ms": 5_000, "maintenance": 1_000_000},
    ),
    Case(name="huey", told="as it comes: 1 thread"),
    Case(name="RQ", told="as it comes: forks, no retry", settings={"simple": False}),
    Case(
        name="RQ",
        told="forks, Retry(max=10), maintenance every 5 s, job_monitoring_interval 1 s, worker_ttl 20 s",
        settings={"simple": False, "retries": 10, "maintenance_s": 5, "ttl_s": 20},
    ),
    Case(
        name="Celery",
        told="as it comes: prefork, acknowledged early, visibility_timeout 1 h",
        settings={"pool": "prefork", "prefetch": 4},
    ),
    Case(
        name="Celery",
        told="prefork, acks_late, reject_on_worker_lost, prefetch 1, visibility_timeout 5 s, looked at every second",
        settings={"pool": "prefork", "prefetch": 1, "late": True, "visible_s": 5, "sweep_s": 1},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What became of the jobs.

    Attributes:
        lost: not done, and nowhere on the server.
        stuck: not done, though the server has them.
        doubled: done more than once.
        after_s: when the last one left its effect, after the last kill.
    """

    jobs: int
    done: int
    doubled: int
    lost: int
    stuck: int
    after_s: float


def measure(folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md."""
    found = kill_all(folder, CASES, JOBS, KILLS, WAIT_S)
    return [
        f"{JOBS:,} jobs of {WORK_S * 1000:.0f} ms, {KILLS} times kill -9 of the consumer at work, {WAIT_S:.0f} s for the rest:",
        "",
        "| queue | settings | lost | doubled | stuck | the last effect, after the last kill |",
        "|---|---|---|---|---|---|",
        *(
            f"| {case.name} | {case.told} | {it.lost:,} | {it.doubled:,} | {it.stuck:,} | {it.after_s:.1f} s |"
            for case, it in zip(CASES, found, strict=True)
        ),
    ]


def count_losses(ids: Sequence[str], effects: Mapping[str, int], held: Iterable[str], after_s: float) -> Losses:
    """Judge each job by how often it left its effect, and whether the server still has it."""
    undone = {id_ for id_ in ids if not effects.get(id_)}
    stuck = len(undone & set(held))
    return Losses(
        jobs=len(ids),
        done=len(ids) - len(undone),
        doubled=sum(effects.get(id_, 0) > 1 for id_ in ids),
        lost=len(undone) - stuck,
        stuck=stuck,
        after_s=after_s,
    )


def kill_all(folder: Path, cases: Sequence[Case], jobs: int, kills: int, wait_s: float) -> list[Losses]:
    """Kill one after another, then let all of them go on together until everything is done, or for so long."""
    with Stack(folder / "losses") as stack:
        killed = [_Killed(stack.valkey(name=f"valkey-{n}"), case, jobs) for n, case in enumerate(cases)]
        try:
            for number, one in enumerate(killed):
                one.put()
                one.kill_again_and_again(kills, random.Random(number))
            until = time.monotonic() + wait_s
            while time.monotonic() < until and min([one.look() for one in killed]) < jobs:
                time.sleep(0.1)
            return [one.losses() for one in killed]
        finally:
            for one in killed:
                one.close()


class _Killed:
    """One queue, its server, and its consumer of the moment."""

    def __init__(self, valkey: Valkey, case: Case, jobs: int) -> None:
        self._case, self._url = case, valkey.url
        self._ids = [f"job-{n:06d}" for n in range(jobs)]
        self._redis = valkey.client()
        self._effects = valkey.client(db=EFFECTS_DB)
        self._consumer: subprocess.Popen[bytes] | None = None
        self._killed_at = 0.0

    def put(self) -> None:
        subprocess.run(self._words("put"), cwd=ROOT, timeout=PUT_S, check=True)

    def kill_again_and_again(self, kills: int, chance: random.Random) -> None:
        """Over the first four fifths of the jobs, each time a moment after some more are done."""
        self._start()
        for number in range(1, kills + 1):
            some = len(self._ids) * 4 * number // (5 * kills)
            wait_until(lambda some=some: self.look() >= some, PROGRESS_S, f"{some} jobs done by {self._case}")
            time.sleep(chance.uniform(0.0, 0.01))
            self._end()
            self._killed_at = time.time()
            self._start()

    def look(self) -> int:
        """How many are done by now."""
        return self._effects.hlen(EFFECTS)

    def losses(self) -> Losses:
        self._end()  # nothing moves while it is counted
        effects = {id_.decode(): int(times) for id_, times in self._effects.hgetall(EFFECTS).items()}
        after_s = max(0.0, float(self._effects.get(LAST) or 0.0) - self._killed_at)
        return count_losses(self._ids, effects, held(self._redis), after_s)

    def close(self) -> None:
        self._end()
        self._redis.close()
        self._effects.close()

    def _start(self) -> None:
        self._consumer = subprocess.Popen(
            self._words("work"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        # Stopped first, so that it starts no process that would not be seen.
        os.kill(consumer.pid, signal.SIGSTOP)
        kill([consumer.pid, *descendants(consumer.pid)])
        if consumer.wait(10) != -signal.SIGKILL:
            raise RuntimeError(f"{self._case} ended by itself with {consumer.returncode}, before it was killed")

    def _words(self, role: str) -> list[str]:
        jobs = str(len(self._ids))
        return [sys.executable, "-c", CHILD, role, self._case.name, self._url, jobs, json.dumps(self._case.settings)]


def held(redis: Redis) -> set[str]:
    """The jobs whose ids are anywhere in what a queue keeps: in a key's name, a member, a field or a value."""
    found: set[str] = set()
    for key in redis.scan_iter(count=1000):
        if not key.endswith(MEMORY):
            found.update(id_.decode() for text in (key, *_texts(redis, key)) for id_ in ID.findall(text))
    return found


def _texts(redis: Redis, key: bytes) -> Iterable[bytes]:
    match redis.type(key):
        case b"string":
            return [redis.get(key) or b""]
        case b"list":
            return redis.lrange(key, 0, -1)
        case b"set":
            return redis.smembers(key)
        case b"zset":
            return redis.zrange(key, 0, -1)
        case b"hash":
            return [text for pair in redis.hgetall(key).items() for text in pair]
    return [repr(redis.xrange(key)).encode()]


def main(role: str, name: str, url: str, jobs: str, settings: str) -> None:
    """Put the jobs, or do them."""
    from redis import Redis as Client

    from tests.bench.queues import QUEUES, does

    queue = QUEUES[name](url, **json.loads(settings))
    if role == "put":
        queue.put([f"job-{n:06d}" for n in range(int(jobs))])
        return
    effects = Client.from_url(url, db=EFFECTS_DB)

    def effect(id_: str) -> None:
        time.sleep(WORK_S)
        with effects.pipeline() as pipe:
            pipe.hincrby(EFFECTS, id_, 1)
            pipe.set(LAST, time.time())
            pipe.execute()

    does(effect)
    queue.work()
