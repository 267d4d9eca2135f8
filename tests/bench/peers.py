"""The peers of the queue by rate: how many jobs a second each puts, and one consumer process of it does.

The queue is filled, then worked off. A peer's clock runs from its first job's work to its last one's, so that what it fetched
before the first and acknowledges after the last is not counted against it; ours runs from before the first claim until after
the last settlement. Which settings a peer is measured with is found in the run itself: the fastest of some.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0
CHILD = "import sys; from tests.bench.peers import main; main(*sys.argv[1:])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A queue, how many jobs a turn of it has (about two seconds of work), and the settings of which the fastest is taken."""

    queue: str
    jobs: int
    settings: Sequence[Mapping[str, Any]]


PEERS = {
    "Dramatiq": Peer(
        queue="Dramatiq",
        jobs=4_000,
        settings=({"threads": 1, "prefetch": 256}, {"threads": 2, "prefetch": 256}, {"threads": 8}),
    ),
    "Dramatiq without middleware (no retries)": Peer(
        queue="Dramatiq",
        jobs=4_000,
        settings=(
            {"threads": 1, "prefetch": 256, "middleware": False},
            {"threads": 2, "prefetch": 256, "middleware": False},
        ),
    ),
    "huey": Peer(queue="huey", jobs=6_000, settings=({"threads": 1}, {"threads": 2}, {"threads": 4})),
    "RQ": Peer(queue="RQ", jobs=1_000, settings=({"simple": True},)),
    "Celery": Peer(
        queue="Celery",
        jobs=2_000,
        settings=(
            {"pool": "solo", "prefetch": 4},
            {"pool": "solo", "prefetch": 256},
            {"pool": "threads", "concurrency": 4, "prefetch": 64},
        ),
    ),
    "Celery without acknowledgement": Peer(
        queue="Celery",
        jobs=4_000,
        settings=(
            {"pool": "solo", "prefetch": 256, "acks": False},
            {"pool": "threads", "concurrency": 4, "prefetch": 64, "acks": False},
        ),
    ),
}
CONDITIONS = (
    "no-op jobs with 200 bytes, one consumer process, results off, unix socket, a fresh server with its file synced every second "
    "for each turn; ours (jobs without a key) and the peers with the fastest of the settings that were tried at the beginning of "
    "the run, else as they come"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One queue, once: jobs a second, and microseconds of CPU a job."""

    put_per_s: float
    put_server_us: float
    done_per_s: float
    server_us: float
    consumer_us: float

    @property
    def cpu_us(self) -> float:
        """Of the server and the consumer, for a job that is taken and finished."""
        return self.server_us + self.consumer_us


def fastest_settings(folder: Path, peer: Peer) -> Mapping[str, Any]:
    """With which of its settings a peer does most jobs a second."""
    rates = [turn(folder, peer, settings).done_per_s for settings in peer.settings]
    return peer.settings[rates.index(max(rates))]


def turn(folder: Path, peer: Peer, settings: Mapping[str, Any], jobs: int = 0) -> Turn:
    """One turn of a peer, on a server of its own."""
    with Stack(folder / f"peer-{time.monotonic_ns()}") as stack:
        words = [peer.queue, stack.valkey().url, str(jobs or peer.jobs), json.dumps(settings)]
        words = [sys.executable, "-c", CHILD, *words]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer.queue} with {settings} ended with {done.returncode}:\n{done.stderr}")
    return Turn(**json.loads(done.stdout))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times theirs ours is, turn by turn."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the range: ``3.0 (2.5 to 4.1)``."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def fastest(found: Mapping[str, Sequence[Turn]]) -> str:
    """Which peer does most jobs a second, by the median."""
    return max(found, key=lambda name: statistics.median(turn.done_per_s for turn in found[name]))


def told(
    name: str, settings: Mapping[str, Any], turns: Sequence[Turn], ours: Mapping[int, Sequence[Turn]]
) -> list[str]:
    """Lines for docs/benchmarks.md: the peer's figures, and ours by batch as so many times as much."""
    by = ", ".join(f"{word} {value}".lower() for word, value in settings.items()) or "as it comes"
    figures = (
        f"{metadata.version(PEERS[name].queue)}, {by}: claim and finish {spread([turn.done_per_s for turn in turns], 0)} jobs/s, "
        f"{statistics.median(turn.server_us for turn in turns):.0f} µs of the server's CPU a job and "
        f"{statistics.median(turn.consumer_us for turn in turns):.0f} of the consumer's; "
        f"put {spread([turn.put_per_s for turn in turns], 0)} jobs/s"
    )
    lines = [f"- {name} {figures}"]
    for batch, mine in ours.items():
        lines.append(
            f"  - ours, batch {batch}: {_times(mine, turns, 'done_per_s')} by rate, "
            f"{_times(turns, mine, 'cpu_us')} by CPU a job, put {_times(mine, turns, 'put_per_s')}"
        )
    return lines


def _times(ours: Sequence[Turn], theirs: Sequence[Turn], what: str) -> str:
    found = ratios([getattr(turn, what) for turn in ours], [getattr(turn, what) for turn in theirs])
    middle, _, rest = spread(found, 1).partition(" ")
    return f"**{middle}** {rest}"


def server_cpu_s(redis: Redis) -> float:
    """Seconds of CPU that the server's main thread has used."""
    used = redis.info("cpu")
    return used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"]


def main(name: str, url: str, jobs: str, settings: str) -> None:
    """Put so many jobs and do them, in this process, on an empty server; then say what it took."""
    from redis import Redis as Client

    from tests.bench.queues import QUEUES, does

    redis, much = Client.from_url(url), int(jobs)
    queue = QUEUES[name](url, **json.loads(settings))
    server, started = server_cpu_s(redis), time.perf_counter()
    queue.put([f"job-{n:06d}" for n in range(much)])
    put_s, put_server_s = time.perf_counter() - started, server_cpu_s(redis) - server
    number = count(1)
    begun: list[float] = []

    def mark(_id: str) -> None:
        at = next(number)  # one at a time, whatever the threads
        if at == 1:
            begun.extend((server_cpu_s(redis), time.process_time(), time.perf_counter()))
        elif at == much:
            took_s, mine_s = time.perf_counter() - begun[2], time.process_time() - begun[1]
            found = Turn(
                put_per_s=much / put_s,
                put_server_us=put_server_s / much * 1e6,
                done_per_s=(much - 1) / took_s,
                server_us=(server_cpu_s(redis) - begun[0]) / (much - 1) * 1e6,
                consumer_us=mine_s / (much - 1) * 1e6,
            )
            os.write(1, json.dumps(asdict(found)).encode())
            os._exit(0)

    does(mark)
    queue.work()
