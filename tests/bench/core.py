"""The whole core: from a put to the browser, by rate and by level of acknowledgement, with every message accounted for.

Producers put 1 to 16 jobs a transaction at planned times; ``darktime pipeline run`` parses, anonymises and publishes over
HTTP; the embedded push server fans out to a swarm of subscribers on as many channels. Latency runs from the planned time
of the put to the reading. ``python -m tests.bench core --rates 5000,10000 --seconds 60 --ack published`` prints a line a
rate and the highest that was held: p99 within ``--limit-ms``, the producer on time, nothing lost or doubled, ledger at 0.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.ledger import Ledger, balance, read
from realtime_core.queue import Job, Queue
from realtime_core.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

ROOT = Path(__file__).parents[2]
RUN = "core"
NAME = "core"
SUBSCRIBERS = 1_000
MOST_A_TRANSACTION = 16
HELD_MS = 25.0
PRODUCER_LATE_S = 0.25
AFTER_S = 10.0
START_S = 30.0
RATES = (1_000, 2_500, 5_000, 10_000, 15_000)
SECONDS = 10.0
DARKTIME = (sys.executable, "-P", "-c", "from darktime.console.main import darktime; darktime()")
BENCH = (sys.executable, "-m", "tests.bench.core")
SWARM = (
    "from gevent import monkey; monkey.patch_all(); import sys; from tests.bench.core import main; main(sys.argv[1:])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate, held for a while. ``residual``: what the ledger's hops and the swarm do not agree on."""

    rate: float
    put: int
    delivered: int
    lost: int
    duplicated: int
    residual: int
    late_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    mean_batch: float

    def held(self, limit_ms: float) -> bool:
        """Whether this rate is one that the core takes."""
        whole = self.delivered == self.put and not self.lost and not self.duplicated and not self.residual
        return whole and self.p99_ms <= limit_ms and self.late_s <= PRODUCER_LATE_S

    def told(self, ack: str, limit_ms: float) -> str:
        """A line for docs/benchmarks.md."""
        return (
            f"- {self.rate:,.0f} messages/s, ack {ack}: {'held' if self.held(limit_ms) else 'NOT held'}; put to browser p50 "
            f"{self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f}, p99.9 {self.p999_ms:.1f}; {self.put:,} put, {self.delivered:,} "
            f"delivered, {self.lost} lost, {self.duplicated} doubled, ledger residual {self.residual}; {self.mean_batch:.1f} "
            f"jobs a batch, the producer was {self.late_s * 1000:.0f} ms late at the most"
        )


def measure(_folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md: the ladder of rates with the default level, then each level at the lowest rate."""
    return [*ladder(RATES, SECONDS, "published", HELD_MS), *prices(RATES[0], SECONDS)]


def ladder(
    rates: Sequence[float], seconds: float, ack: str, limit_ms: float, subscribers: int = SUBSCRIBERS
) -> list[str]:
    """Rates in turn, until one is not held."""
    lines, best = [], 0.0
    for rate in rates:
        step = hold(rate, seconds, ack, subscribers)
        lines.append(step.told(ack, limit_ms))
        if not step.held(limit_ms):
            break
        best = rate
    return [*lines, f"- highest rate held, ack {ack}, p99 within {limit_ms:g} ms: **{best:,.0f}** messages/s"]


def prices(rate: float, seconds: float, subscribers: int = SUBSCRIBERS) -> list[str]:
    """What each level of acknowledgement costs at one rate."""
    return [hold(rate, seconds, ack, subscribers).told(ack, HELD_MS) for ack in ("none", "published", "delivered")]


def hold(rate: float, seconds: float, ack: str, subscribers: int) -> Step:
    """One rate on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="core-") as folder, Stack(Path(folder) / "stack") as stack:
        valkey = stack.valkey()
        push = stack.push(
            "push", ledger=valkey.url, ledger_name=NAME, hop_in="pipeline>push", hop_out="push>swarm", owner="push"
        )
        words = [
            "--redis",
            valkey.url,
            "--queue",
            NAME,
            "--ledger-name",
            NAME,
            "--box",
            f"push={push.url}",
            "--ack",
            ack,
        ]
        words += [
            "--set",
            "anonymize=data.email:drop",
            "--canary",
            f"{push.url}/ev/",
            "--drain",
            "10",
            "--metrics",
            "0",
        ]
        worker = stack.start("worker", [*DARKTIME, "pipeline", "run", *words], ready="working on queue")
        address = f"{push.host}:{push.port}"
        with _role("swarm", address, str(subscribers)) as swarm:
            _line_of(swarm, "standing")
            put = json.loads(_run("producer", valkey.url, str(rate), str(seconds), str(subscribers)))
            with valkey.client() as redis:
                _wait_done(redis, put["put"])
                batches = _batches(worker)
                assert swarm.stdin is not None
                swarm.stdin.write(json.dumps(put["channels"]) + "\n")
                swarm.stdin.flush()
                seen = json.loads(_line_of(swarm, "{"))
                worker.stop(15.0)
                push.service.stop(5.0)
                residual = _residual(redis) + abs(put["put"] - seen["delivered"])
    return Step(
        rate=rate,
        put=put["put"],
        late_s=put["late_s"],
        residual=residual,
        mean_batch=put["put"] / max(1, batches),
        **{name: seen[name] for name in ("delivered", "lost", "duplicated", "p50_ms", "p99_ms", "p999_ms")},
    )


def _role(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SWARM, *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _run(*words: str) -> str:
    return subprocess.run([*BENCH, *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout


def _line_of(process: subprocess.Popen[str], begin: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begin):
            return line
    raise SystemExit(f"the swarm ended with {process.wait()}")


def _wait_done(redis: Redis, put: int) -> None:
    queue, until = Queue(redis, NAME), time.monotonic() + AFTER_S
    while queue.counts().finished_total < put and time.monotonic() < until:
        time.sleep(0.05)


def _residual(redis: Redis) -> int:
    """What is missing or too much on the hops of jobs and of events, and what could not be told."""
    hops = {hop.hop: hop for hop in balance(read(redis, NAME))}
    wrong = 0
    for name in ("queue>pipeline", "pipeline>push"):
        hop = hops[name]
        wrong += abs(hop.sent - hop.received - sum(hop.explained.values())) + hop.undecoded + hop.dropped
        wrong += sum(abs(item.times) for item in (*hop.missing, *hop.extra))
    return wrong


def _batches(worker: Any) -> int:
    import urllib.request

    from realtime_core.stack import ready_line

    with urllib.request.urlopen(f"http://{ready_line(worker, 'metrics on ')}/metrics", timeout=5) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("realtime_pipeline_batch_seconds_count"):
                return int(float(line.split()[1]))
    return 0


def produce(url: str, rate: float, seconds: float, channels: int) -> None:
    """Put transactions of 1 to 16 jobs at planned times; says what was put, by channel, and how late it was at the most."""
    from redis import Redis as Client

    chance = random.Random(7)
    sent: Counter[int] = Counter()
    put, late_s = 0, 0.0
    with Client.from_url(url) as redis:
        queue, ledger = Queue(redis, NAME), Ledger(redis, NAME, "producer")
        begin = time.monotonic() + 0.2
        while (planned := begin + put / rate) < begin + seconds:
            size = chance.randint(1, MOST_A_TRANSACTION)
            jobs = []
            at = time.time()
            for _ in range(size):
                channel = (put + len(jobs)) % channels
                sent[channel] += 1
                jobs.append(_job(put + len(jobs), channel, sent[channel], int(planned * 1e6), at))
            wait_s = planned - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            late_s = max(late_s, time.monotonic() - planned)
            queue.put(jobs)
            ledger.sent("queue>pipeline", [job.id for job in jobs], [at] * size)
            put += size
        ledger.close()
    sys.stdout.write(json.dumps({"put": put, "late_s": late_s, "channels": [sent[c] for c in range(channels)]}))


def _job(number: int, channel: int, in_channel: int, at_us: int, at: float) -> Job:
    name = f"j{number:010d}"
    mark = {"blast": RUN, "c": channel, "p": 0, "at": at_us, "n": in_channel}
    fields = {"v": 1, "job": name, "channels": [f"blast.{channel}"], "kind": "post_save", "model": "site.Comment"}
    fields |= {"key": number, "at": at, "data": {"email": "a@example.org", "text": "x" * 80, "mark": mark}}
    return Job(id=name, body=json.dumps(fields).encode(), key=f"blast.{channel}")


def swarm(address: str, subscribers: int) -> None:
    """Subscribe, read, and when told what was published say what came of it."""
    import gevent

    from darktime.blast.cohort import Cohort
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.settings import resolve
    from darktime.blast.streams import Publisher, Streams
    from tests.bench.streams import _allow_files

    _allow_files()
    where = resolve(address)
    cohort, counted = Cohort(), Deliveries()
    publisher = Publisher(where, subscribers, RUN)
    streams = Streams(cohort, where, publisher, count=subscribers, run=RUN)
    cohort.each_second.append(lambda: counted.merge(streams.take()))
    until = time.monotonic() + START_S
    while not streams.standing and time.monotonic() < until:
        cohort.turn(0.05)
    sys.stdout.write("standing\n")
    sys.stdout.flush()
    asking = gevent.get_hub().threadpool.spawn(sys.stdin.readline)  # in a thread: it waits, and nobody patches it
    while not asking.ready():
        cohort.turn(0.05)
    publisher.published[:] = json.loads(asking.get())
    until = time.monotonic() + AFTER_S
    while streams.owed() and time.monotonic() < until:
        cohort.turn(0.05)
    streams.settle()
    cohort.flush()
    counted.merge(streams.take())
    latency = counted.latency
    found = {"delivered": counted.delivered, "lost": counted.lost, "duplicated": counted.duplicated + counted.differed}
    for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9)):
        found[name] = latency.percentile_ms(percent) or 0.0
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """The bench from its command line, or one of its roles."""
    if words and words[0] == "swarm":
        swarm(words[1], int(words[2]))
        return 0
    if words and words[0] == "producer":
        produce(words[1], float(words[2]), float(words[3]), int(words[4]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.bench core", description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="messages a second, in turn (%(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each rate (%(default)s)")
    parser.add_argument("--ack", choices=["none", "published", "delivered"], default="published")
    parser.add_argument("--prices", action="store_true", help="all three levels, at the first rate")
    parser.add_argument("--subscribers", type=int, default=SUBSCRIBERS, help="on as many channels (%(default)s)")
    parser.add_argument("--limit-ms", type=float, default=HELD_MS, help="p99 of a rate that is held (%(default)s)")
    asked = parser.parse_args(words)
    rates = [float(rate) for rate in asked.rates.split(",")]
    if asked.prices:
        lines = prices(rates[0], asked.seconds, asked.subscribers)
    else:
        lines = ladder(rates, asked.seconds, asked.ack, asked.limit_ms, asked.subscribers)
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
