"""The two ends of the core's bench, each a process of its own: who puts jobs, and who reads events."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from redis import Redis

from realtime_core.hooks.event import Captured
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.trace import Trace
from realtime_core.ledger import Ledger, prepare
from realtime_core.queue import Job, Queue

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = "core"
NAME = "core"
MOST_A_TRANSACTION = 16
AFTER_S = 10.0
START_S = 30.0
PRODUCERS = 4  # one alone would wait for each put before the next, and be the limit itself
TEXT = "x" * 64  # which makes bodies of 300 bytes, a few more or less


@dataclass
class Put:
    """What one producer put.

    Attributes:
        late_s: how late it was at the most.
        sent: jobs by channel.
    """

    jobs: int = 0
    late_s: float = 0.0
    sent: Counter[int] = field(default_factory=Counter)


def produce(url: str, rate: float, seconds: float, channels: int, keep_s: float) -> None:
    """Let several producers put at once, each on channels of its own; says what was put, by channel, and how late it was."""
    puts = [Put() for _ in range(PRODUCERS)]
    with Redis.from_url(url) as redis, ThreadPoolExecutor(PRODUCERS) as threads:
        ledger, trace = Ledger(redis, NAME, "producer", keep_s=keep_s), Trace(redis, NAME, keep_s=keep_s)
        # As Django's hooks have it, without Django: counted on two hops, each id named, each object traced.
        producer, begin = Producer(Queue(redis, NAME), ledger=ledger, trace=trace), time.monotonic() + 0.2
        for first, put in enumerate(puts):
            its = range(first, channels, PRODUCERS)
            threads.submit(_put_all, producer, put, its, begin, begin + seconds, rate / PRODUCERS)
        threads.shutdown()
        producer.flush()
        ledger.close()
        if producer.lost:
            raise SystemExit(f"{producer.lost:,} jobs were not put")
    sent = sum((put.sent for put in puts), Counter[int]())
    told = {"put": sum(put.jobs for put in puts), "late_s": max(put.late_s for put in puts)}
    told |= {"cpu_s": time.process_time(), "channels": [sent[channel] for channel in range(channels)]}
    sys.stdout.write(json.dumps(told))


def _put_all(  # noqa: PLR0917
    producer: Producer, put: Put, channels: Sequence[int], begin: float, end: float, rate: float
) -> None:
    """Put transactions of 1 to 16 jobs at planned times."""
    chance = random.Random(channels[0])
    while (planned := begin + put.jobs / rate) < end:
        size = chance.randint(1, MOST_A_TRANSACTION)
        events = []
        at = time.time()
        for number in range(put.jobs, put.jobs + size):
            channel = channels[number % len(channels)]
            put.sent[channel] += 1
            events.append(_event(f"p{channels[0]}.{number:010d}", channel, put.sent[channel], int(planned * 1e6), at))
        wait_s = planned - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        put.late_s = max(put.late_s, time.monotonic() - planned)
        producer.put(events)
        put.jobs += size


def _event(name: str, channel: int, in_channel: int, at_us: int, at: float) -> Captured:
    mark = {"blast": RUN, "c": channel, "p": 0, "at": at_us, "n": in_channel}
    data = {"email": "a@example.org", "text": TEXT, "mark": mark}
    told = {"kind": "post_save", "model": "site.Comment", "key": f"{channel}.{in_channel}"}
    body = orjson.dumps({"v": 1, "job": name, "channels": [f"blast.{channel}"], **told, "at": at, "data": data})
    return Captured(job=Job(id=name, body=body, key=f"blast.{channel}"), at=at, **told)  # as the hooks do


def swarm(address: str, subscribers: int, channels: int) -> None:
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
    publisher = Publisher(where, channels, RUN)
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


def main(words: list[str]) -> None:
    """One of the roles, by name."""
    prepare()
    gc.freeze()
    if words[0] == "swarm":
        swarm(words[1], int(words[2]), int(words[3]))
    else:
        produce(words[1], float(words[2]), float(words[3]), int(words[4]), float(words[5]))


if __name__ == "__main__":
    main(sys.argv[1:])
