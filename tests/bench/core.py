"""The whole core: from a put to the browser, by rate and by level of acknowledgement, with every message accounted for.

Four producers put 1 to 16 jobs a transaction at planned times; ``darktime pipeline run`` parses, anonymises and publishes over
HTTP; the embedded push server fans out to a swarm of subscribers. Latency runs from the planned time of the put to the
reading. A rate is held where p99 is within ``--limit-ms``, the producer on time, nothing lost or doubled and the ledger
at 0. ``python -m tests.bench core --rates 5000,10000 --seconds 60 --ack published`` prints a line a rate and the highest
that was held; ``--prices`` all levels at the first rate; ``--watch`` how the processes' memory grew.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import psutil

from realtime_core.ledger import balance, read
from realtime_core.queue import Queue
from realtime_core.stack import Stack, ready_line
from tests.bench.core_roles import AFTER_S, NAME
from tests.bench.yardstick import Yardstick
from tests.support.memory import Looks, Watch, most_slope_a_minute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from realtime_core.stack import Service

ROOT: Final = Path(__file__).parents[2]
HELD_MS: Final = 25.0
PRODUCER_LATE_S: Final = 0.25
# Memory is looked at once its tables are full and have been made anew some times: the push server keeps 256 windows of its
# account, which are two each 5 s; the queue remembers a million ids, of which it frees half at once each 250 s, and it takes
# some five times of that until what is freed is what the allocator can give again.
WARM_S: Final = 1_260.0
WATCHED_S: Final = WARM_S + 600.0
# What the ledger keeps grows until it has all that it is to keep: for a day, if it is told nothing.
KEEP_S: Final = 86_400.0
WATCHED_KEEP_S: Final = 300.0
WATCHED: Final = 2_000.0
LOOK_S: Final = 2.0
RATES: Final = (5_000.0, 10_000.0, 15_000.0, 20_000.0)
# What it carries at all: more than the above waits, and yet all of it comes, as fast as it is put.
TOP_MS: Final = 100.0
TOP_RATES: Final = (15_000.0, 16_000.0, 18_000.0)
SECONDS: Final = 60.0
PRICED: Final = 1_000.0
LEVELS: Final = ("none", "published", "delivered")
DARKTIME: Final = (sys.executable, "-P", "-c", "from darktime.console.main import darktime; darktime()")
PRODUCER: Final = (sys.executable, "-m", "tests.bench.core_roles", "producer")
SWARM: Final = (
    *(sys.executable, "-c"),
    "from gevent import monkey; monkey.patch_all(); import sys; from tests.bench.core_roles import main; main(sys.argv[1:])",
    "swarm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Who listens: so many subscribers, in turn on so many channels."""

    subscribers: int = 1_000
    channels: int = 1_000

    def __str__(self) -> str:
        return f"{self.channels:,} channels x {self.subscribers // self.channels:,} subscribers"


ONE_EACH: Final = Shape()
TEN_EACH: Final = Shape(channels=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate, held for a while.

    Attributes:
        residual: what the ledger's hops and the swarm do not agree on.
        cpu_us: CPU a message, by part.
        growth: the upper bound (95 %) of the growth of its memory a minute, as a share of it, by part; where watched.
        resident_mb: its memory in the middle of what was looked at.
    """

    shape: Shape
    ack: str
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
    cpu_us: dict[str, float] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    resident_mb: dict[str, float] = field(default_factory=dict)

    def held(self, limit_ms: float) -> bool:
        """Whether this rate is one that the core takes."""
        owed = self.put * self.shape.subscribers // self.shape.channels
        whole = self.delivered == owed and not self.lost and not self.duplicated and not self.residual
        return whole and self.p99_ms <= limit_ms and self.late_s <= PRODUCER_LATE_S

    def told(self, limit_ms: float) -> str:
        """A line for docs/benchmarks.md."""
        used = ", ".join(f"{part} {us:.0f}" for part, us in self.cpu_us.items())
        line = (
            f"- {self.rate:,.0f} messages/s, {self.shape}, ack {self.ack}: {'held' if self.held(limit_ms) else 'NOT held'}; "
            f"put to browser p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f}, p99.9 {self.p999_ms:.1f}; {self.put:,} put, "
            f"{self.delivered:,} delivered, {self.lost} lost, {self.duplicated} doubled, ledger residual {self.residual}; "
            f"{self.mean_batch:.1f} jobs a batch, the producers were {self.late_s * 1000:.0f} ms late at the most; "
            f"µs of CPU a message: {used}"
        )
        if not self.growth:
            return line
        each = [
            f"{part} {100 * share:+.2f} % of {self.resident_mb[part]:.0f} MB" for part, share in self.growth.items()
        ]
        grown = ", ".join(each)
        kept = f"accounts kept for {WATCHED_KEEP_S / 60:g} minutes"
        return f"{line}; {kept}; memory a minute from minute {WARM_S / 60:.0f} on, at most (95 %): {grown}"


def measure(_folder: Path) -> list[str]:
    """Lines for docs/benchmarks.md: the ladder of rates, ten subscribers a channel, and what each level costs."""
    machine = Yardstick()
    machine.look()
    lines = ladder(RATES, SECONDS, "published", HELD_MS, ONE_EACH)
    machine.look()
    lines += ladder(TOP_RATES, SECONDS, "published", TOP_MS, ONE_EACH)
    machine.look()
    lines.append(hold(1_000.0, SECONDS, "published", TEN_EACH).told(HELD_MS))
    machine.look()
    lines += prices(PRICED, SECONDS, ONE_EACH)
    machine.look()
    lines.append(hold(WATCHED, WATCHED_S, "published", ONE_EACH, watch=True).told(HELD_MS))
    machine.look()
    return [*lines, machine.told()]


def ladder(rates: Sequence[float], seconds: float, ack: str, limit_ms: float, shape: Shape) -> list[str]:
    """Rates in turn, until one is not held."""
    lines, best = [], 0.0
    for rate in rates:
        step = hold(rate, seconds, ack, shape)
        lines.append(step.told(limit_ms))
        if not step.held(limit_ms):
            break
        best = rate
    return [*lines, f"- highest rate held, ack {ack}, p99 within {limit_ms:g} ms: **{best:,.0f}** messages/s"]


def prices(rate: float, seconds: float, shape: Shape) -> list[str]:
    """What each level of acknowledgement costs at one rate."""
    return [hold(rate, seconds, ack, shape).told(HELD_MS) for ack in LEVELS]


def hold(rate: float, seconds: float, ack: str, shape: Shape, *, watch: bool = False) -> Step:
    """One rate on servers of its own."""
    keep = str(WATCHED_KEEP_S if watch else KEEP_S)
    with ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="core-"))
        stack = ends.enter_context(Stack(Path(folder) / "stack"))
        valkey = stack.valkey()
        push = stack.push(
            "push",
            ledger=valkey.url,
            ledger_name=NAME,
            hop_in="pipeline>push",
            hop_out="push>swarm",
            owner="push",
            options=["--ledger-keep", keep],
        )
        worker = stack.start("worker", _worker_words(valkey.url, push.url, ack, keep), ready="working on queue")
        listening = [f"{push.host}:{push.port}", str(shape.subscribers), str(shape.channels)]
        swarm = ends.enter_context(_swarm(listening))
        parts = {"worker": worker.pid, "push": push.service.pid, "valkey": valkey.pid, "swarm": swarm.pid}
        before = {part: _cpu_s(pid) for part, pid in parts.items()}
        # What stands at the worker's pid is its supervisor: the worker itself is its child.
        held = parts | {"worker": psutil.Process(worker.pid).children()[0].pid, "supervisor": worker.pid}
        memory = ends.enter_context(Watch(held.values, LOOK_S)) if watch else None
        began = time.monotonic()
        put = _produce(valkey.url, rate, seconds, shape.channels, keep)
        redis = ends.enter_context(valkey.client())
        _wait_done(redis, put["put"])
        used = {part: _cpu_s(pid) - before[part] for part, pid in parts.items()} | {"producers": put["cpu_s"]}
        batches = _batches(worker)
        assert swarm.stdin is not None
        swarm.stdin.write(json.dumps(put["channels"]) + "\n")
        swarm.stdin.flush()
        seen = json.loads(_line_of(swarm, "{"))
        worker.stop(15.0)
        push.service.stop(5.0)
        looks = (
            {part: _since(memory.looks.get(pid, []), began + WARM_S) for part, pid in held.items()} if memory else {}
        )
        residual = _residual(redis) + abs(put["put"] * shape.subscribers // shape.channels - seen["delivered"])
    return Step(
        shape=shape,
        ack=ack,
        rate=rate,
        put=put["put"],
        late_s=put["late_s"],
        residual=residual,
        mean_batch=put["put"] / max(1, batches),
        cpu_us={part: seconds * 1e6 / put["put"] for part, seconds in used.items()},
        growth={part: most_slope_a_minute(ours) if len(ours) > 1 else math.nan for part, ours in looks.items()},
        resident_mb={part: median(kb for _, kb in ours) / 1024 if ours else math.nan for part, ours in looks.items()},
        **{name: seen[name] for name in ("delivered", "lost", "duplicated", "p50_ms", "p99_ms", "p999_ms")},
    )


def _worker_words(redis: str, push: str, ack: str, keep: str) -> list[str]:
    words = {
        "--redis": redis,
        "--queue": NAME,
        "--ledger-name": NAME,
        "--ledger-keep": keep,
        "--box": f"push={push}",
        "--ack": ack,
        "--set": "anonymize=data.email:drop",
        "--canary": f"{push}/ev/",
        "--drain": "10",
        "--metrics": "0",
    }
    return [*DARKTIME, "pipeline", "run", *(word for pair in words.items() for word in pair)]


@contextmanager
def _swarm(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Subscribers that all stand; ended with the block, in whichever way it ends."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*SWARM, *words], cwd=ROOT, text=True, **pipes) as swarm:
        try:
            _line_of(swarm, "standing")
            yield swarm
        finally:
            swarm.kill()


def _produce(url: str, rate: float, seconds: float, channels: int, keep: str) -> dict[str, Any]:
    words = (*PRODUCER, url, str(rate), str(seconds), str(channels), keep)
    limit_s = seconds + 60
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=limit_s).stdout
    found: dict[str, Any] = json.loads(told)
    return found


def _line_of(process: subprocess.Popen[str], begin: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begin):
            return line
    raise SystemExit(f"the swarm ended with {process.wait()}")


def _cpu_s(pid: int) -> float:
    """CPU of a process and of all below it."""
    process, used = psutil.Process(pid), 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system
    return used


def _since(looks: Looks, since: float) -> Looks:
    return [one for one in looks if one[0] >= since]


def _wait_done(redis: Redis, put: int) -> None:
    queue, until = Queue(redis, NAME), time.monotonic() + AFTER_S
    while queue.counts().finished_total < put and time.monotonic() < until:
        time.sleep(0.05)


def _residual(redis: Redis) -> int:
    """What is missing or too much on the hops of jobs and of events, and what could not be told."""
    hops = {hop.hop: hop for hop in balance(read(redis, NAME))}
    wrong = 0
    for name in ("hooks>queue", "queue>pipeline", "pipeline>push"):
        hop = hops[name]
        wrong += abs(hop.sent - hop.received - sum(hop.explained.values())) + hop.undecoded + hop.dropped
        wrong += sum(abs(item.times) for item in (*hop.missing, *hop.extra))
    return wrong


def _batches(worker: Service) -> int:
    with urllib.request.urlopen(f"http://{ready_line(worker, 'metrics on ')}/metrics", timeout=5) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("realtime_pipeline_batch_seconds_count"):
                return int(float(line.split()[1]))
    return 0


def main(words: list[str]) -> int:
    """The bench from its command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench core", description=__doc__)
    parser.add_argument(
        "--rates", default=",".join(f"{rate:g}" for rate in RATES), help="messages a second, in turn (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each rate (%(default)s)")
    parser.add_argument("--ack", choices=LEVELS, default="published")
    parser.add_argument("--prices", action="store_true", help="all three levels, at the first rate")
    parser.add_argument(
        "--watch", action="store_true", help=f"the first rate, and how memory grew from {WARM_S:.0f} s on"
    )
    parser.add_argument(
        "--subscribers", type=int, default=ONE_EACH.subscribers, help="in turn on the channels (%(default)s)"
    )
    parser.add_argument("--channels", type=int, default=ONE_EACH.channels, help="(%(default)s)")
    parser.add_argument("--limit-ms", type=float, default=HELD_MS, help="p99 of a rate that is held (%(default)s)")
    asked = parser.parse_args(words)
    rates = [float(rate) for rate in asked.rates.split(",")]
    shape = Shape(subscribers=asked.subscribers, channels=asked.channels)
    if asked.watch:
        lines = [hold(rates[0], asked.seconds, asked.ack, shape, watch=True).told(asked.limit_ms)]
    elif asked.prices:
        lines = prices(rates[0], asked.seconds, shape)
    else:
        lines = ladder(rates, asked.seconds, asked.ack, asked.limit_ms, shape)
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
