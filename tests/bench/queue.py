"""The job queue: putting, and one consumer that claims and finishes, by batch and by how many keys the jobs have.

The consumer is a process of its own; the server is the embedded Valkey with its file synced every second. All kinds in
turns, so that what else the machine does hits each. ``make bench-queue`` writes the figures to docs/benchmarks.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.stack import Stack

if TYPE_CHECKING:
    from redis import Redis

ROOT = Path(__file__).parents[2]
TURNS = 5
BODY_BYTES = 200
PUT_BATCH = 256
BATCHES = {1: 1_000, 16: 8_000, 64: 12_000, 256: 20_000}  # with how many jobs
KEYS = {"no key": 0, "one key": 1, "10,000 keys": 10_000}
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One kind, once: jobs a second, and microseconds of CPU a job."""

    put_per_s: float
    put_server_us: float
    done_per_s: float
    server_us: float
    consumer_us: float


def measure(folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md."""
    found: dict[tuple[str, int], list[Turn]] = {(kind, batch): [] for batch in BATCHES for kind in KEYS}
    with Stack(folder / "stack") as stack:
        url = stack.valkey().url
        for _ in range(TURNS):
            for (kind, batch), turns in found.items():
                words = [
                    sys.executable,
                    "-m",
                    "tests.bench.queue",
                    url,
                    str(KEYS[kind]),
                    str(batch),
                    str(BATCHES[batch]),
                ]
                done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
                turns.append(Turn(**json.loads(done.stdout)))
    lines = [f"- {_told(kind, batch, turns)}" for (kind, batch), turns in found.items()]
    many, one = (found[kind, 256] for kind in ("10,000 keys", "one key"))
    ratios = [a.done_per_s / b.done_per_s for a, b in zip(one, many, strict=True)]
    return [
        *lines,
        f"- one key to 10,000 keys, batch 256: **{statistics.median(ratios):.2f}** by rate ({_range(ratios, 2)})",
    ]


def _told(kind: str, batch: int, turns: list[Turn]) -> str:
    rates = [turn.done_per_s for turn in turns]
    line = f"claim and finish, batch {batch}, {kind}: {statistics.median(rates):,.0f} jobs/s ({_range(rates, 0)}), "
    line += f"{statistics.median(turn.server_us for turn in turns):.1f} µs of the server's CPU a job and "
    line += f"{statistics.median(turn.consumer_us for turn in turns):.1f} of the consumer's"
    if batch == PUT_BATCH:
        puts = [turn.put_per_s for turn in turns]
        line += f"; put, batch {PUT_BATCH}: {statistics.median(puts):,.0f} jobs/s ({_range(puts, 0)}), "
        line += f"{statistics.median(turn.put_server_us for turn in turns):.1f} µs of the server's"
    return line


def _range(values: list[float], digits: int) -> str:
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"


def main(url: str, keys: int, batch: int, jobs: int) -> None:
    """The producer and consumer of one turn, on an empty server."""
    from redis import Redis

    from realtime_core.queue import Finish, Job, Queue

    with Redis.from_url(url) as redis:
        redis.flushall()
        queue = Queue(redis, "bench")
        queue.settle([Finish(claim) for claim in queue.claim("w", 1)])
        made = [
            Job(id=f"{n:014x}abcdefabcdef", body=b"x" * BODY_BYTES, key=f"thread:{n % keys}" if keys else None)
            for n in range(jobs)
        ]
        server, started = _cpu_s(redis), time.perf_counter()
        for first in range(0, jobs, PUT_BATCH):
            queue.put(made[first : first + PUT_BATCH])
        put_s, put_server_s = time.perf_counter() - started, _cpu_s(redis) - server
        server, mine, started, done = _cpu_s(redis), time.process_time(), time.perf_counter(), 0
        while done < jobs:
            done += queue.settle([Finish(claim) for claim in queue.claim("w", batch)]).done
        took_s, mine_s, server_s = time.perf_counter() - started, time.process_time() - mine, _cpu_s(redis) - server
    turn = {
        "put_per_s": jobs / put_s,
        "put_server_us": put_server_s / jobs * 1e6,
        "done_per_s": jobs / took_s,
        "server_us": server_s / jobs * 1e6,
        "consumer_us": mine_s / jobs * 1e6,
    }
    sys.stdout.write(json.dumps(turn))


def _cpu_s(redis: Redis) -> float:
    used = redis.info("cpu")
    return used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"]


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
