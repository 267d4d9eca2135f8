"""The job queue: putting, and one consumer that claims and finishes, by batch and by how many keys the jobs have; and its peers.

Each turn has processes and a server of its own: the embedded Valkey with its file synced every second, for all of them. All
kinds and all peers in turns, so that what else the machine does hits each. ``make bench-queue`` writes the figures to
docs/benchmarks.md, and beside them what a kill -9 of the consumer costs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.stack import Stack
from tests.bench import losses, peers
from tests.bench.peers import Turn, fastest, ratios, server_cpu_s, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
TURNS = 5
BATCHES = {1: 2_000, 16: 12_000, 64: 24_000, 256: 40_000}  # with how many jobs
KEYS = {"no key": 0, "one key": 1, "10,000 keys": 10_000}
THREADS = (1, 2, 3)
AIMS = {256: (40_000, 15), 16: (20_000, 7)}  # jobs a second, and how many times the fastest peer
LIMIT_S = 120.0


def measure(folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md."""
    settings = {name: peers.fastest_settings(folder, peer) for name, peer in peers.PEERS.items()}
    threads = {batch: _fastest_threads(folder, batch) for batch in BATCHES}
    ours: dict[tuple[str, int], list[Turn]] = {(kind, batch): [] for batch in BATCHES for kind in KEYS}
    theirs: dict[str, list[Turn]] = {name: [] for name in settings}
    for _ in range(TURNS):
        for (kind, batch), turns in ours.items():
            turns.append(turn(folder, KEYS[kind], batch, BATCHES[batch], 1 if KEYS[kind] else threads[batch]))
        for name, turns in theirs.items():
            turns.append(peers.turn(folder, peers.PEERS[name], settings[name]))
    plain = {batch: ours["no key", batch] for batch in BATCHES}
    many, one = (ours[kind, 256] for kind in ("10,000 keys", "one key"))
    by_rate = spread(ratios([a.done_per_s for a in one], [b.done_per_s for b in many]), 2).split(" ", 1)
    return [
        f"{TURNS} turns; {peers.CONDITIONS}.",
        "",
        *(
            f"- {_told(kind, batch, turns, 1 if KEYS[kind] else threads[batch])}"
            for (kind, batch), turns in ours.items()
        ),
        f"- one key to 10,000 keys, batch 256: **{by_rate[0]}** by rate {by_rate[1]}",
        *(line for name, turns in theirs.items() for line in peers.told(name, settings[name], turns, plain)),
        *(f"- {line}" for line in aims(plain, theirs)),
        "",
        *losses.measure(folder),
    ]


def _fastest_threads(folder: Path, batch: int) -> int:
    """As for the peers: with how many threads a process does most jobs a second."""
    rates = [turn(folder, 0, batch, BATCHES[batch], threads).done_per_s for threads in THREADS]
    return THREADS[rates.index(max(rates))]


def turn(folder: Path, keys: int, batch: int, jobs: int, threads: int) -> Turn:
    """One turn of ours, on a server of its own."""
    with Stack(folder / f"ours-{time.monotonic_ns()}") as stack:
        words = [stack.valkey().url, *map(str, (keys, batch, jobs, threads))]
        words = [sys.executable, "-m", "tests.bench.queue", *words]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"ours, batch {batch}, ended with {done.returncode}:\n{done.stderr}")
    return Turn(**json.loads(done.stdout))


def aims(ours: Mapping[int, Sequence[Turn]], theirs: Mapping[str, Sequence[Turn]]) -> list[str]:
    """What was asked of each batch, and whether it was reached."""
    first = fastest(theirs)
    lines = []
    for batch, (asked_per_s, asked_times) in AIMS.items():
        rates = [turn.done_per_s for turn in ours[batch]]
        times = ratios(rates, [turn.done_per_s for turn in theirs[first]])
        by_cpu = ratios([turn.cpu_us for turn in theirs[first]], [turn.cpu_us for turn in ours[batch]])
        lines.append(
            f"asked of batch {batch}: {asked_per_s:,} jobs/s, {_reached(rates, asked_per_s)}: {spread(rates, 0)}; "
            f"{asked_times} times the fastest peer, which is {first}, {_reached(times, asked_times)}: {spread(times, 1)}, "
            f"by CPU a job {spread(by_cpu, 1)}"
        )
    return lines


def _reached(values: Sequence[float], asked: float) -> str:
    return "reached" if statistics.median(values) >= asked else "NOT reached"


def _told(kind: str, batch: int, turns: list[Turn], threads: int) -> str:
    by = f", {threads} threads" if threads > 1 else ""
    return (
        f"claim and finish, batch {batch}, {kind}{by}: {spread([turn.done_per_s for turn in turns], 0)} jobs/s, "
        f"{statistics.median(turn.server_us for turn in turns):.1f} µs of the server's CPU a job and "
        f"{statistics.median(turn.consumer_us for turn in turns):.1f} of the consumer's; put "
        f"{spread([turn.put_per_s for turn in turns], 0)} jobs/s, "
        f"{statistics.median(turn.put_server_us for turn in turns):.1f} µs of the server's"
    )


def main(url: str, keys: int, batch: int, jobs: int, threads: int) -> None:
    """The producer and the consumer of one turn, on an empty server."""
    from redis import Redis

    from realtime_core.queue import Finish, Job, Queue
    from tests.bench.queues import TEXT, job

    with Redis.from_url(url) as redis, ThreadPoolExecutor(threads) as pool:
        queue = Queue(redis, "bench")

        def consume(worker: str) -> int:
            done = 0
            while claims := queue.claim(worker, batch):
                for claim in claims:
                    job(claim.id, claim.body.decode())
                done += queue.settle([Finish(claim) for claim in claims]).done
            return done

        body = TEXT.encode()
        # The scripts are loaded before the clock runs.
        queue.put([Job(id="first", body=body)])
        assert consume("first") == 1
        server, started = server_cpu_s(redis), time.perf_counter()
        for first in range(0, jobs, batch):
            some = range(first, min(jobs, first + batch))
            queue.put(
                [Job(id=f"{n:014x}abcdefabcdef", body=body, key=f"thread:{n % keys}" if keys else None) for n in some]
            )
        put_s, put_server_s = time.perf_counter() - started, server_cpu_s(redis) - server
        server, mine, started = server_cpu_s(redis), time.process_time(), time.perf_counter()
        done = sum(pool.map(consume, [f"w{n}" for n in range(threads)]))
        took_s, mine_s = time.perf_counter() - started, time.process_time() - mine
        assert done == jobs, f"{done} of {jobs} jobs done"
        found = Turn(
            put_per_s=jobs / put_s,
            put_server_us=put_server_s / jobs * 1e6,
            done_per_s=jobs / took_s,
            server_us=(server_cpu_s(redis) - server) / jobs * 1e6,
            consumer_us=mine_s / jobs * 1e6,
        )
    sys.stdout.write(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
