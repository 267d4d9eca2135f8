"""The two ends of the core's bench, each a process of its own: who puts jobs, and who reads events."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections import Counter

from redis import Redis

from realtime_core.ledger import Ledger, prepare
from realtime_core.queue import Job, Queue

RUN = "core"
NAME = "core"
MOST_A_TRANSACTION = 16
AFTER_S = 10.0
START_S = 30.0
EVENT_BYTES = 300


def produce(url: str, rate: float, seconds: float, channels: int) -> None:
    """Put transactions of 1 to 16 jobs at planned times; says what was put, by channel, and how late it was at the most."""
    chance = random.Random(7)
    sent: Counter[int] = Counter()
    put, late_s = 0, 0.0
    with Redis.from_url(url) as redis:
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
    sys.stdout.write(
        json.dumps(
            {"put": put, "late_s": late_s, "cpu_s": time.process_time(), "channels": [sent[c] for c in range(channels)]}
        )
    )


def _job(number: int, channel: int, in_channel: int, at_us: int, at: float) -> Job:
    name = f"j{number:010d}"
    mark = {"blast": RUN, "c": channel, "p": 0, "at": at_us, "n": in_channel}
    data = {"email": "a@example.org", "text": "", "mark": mark}
    fields = {"v": 1, "job": name, "channels": [f"blast.{channel}"], "kind": "post_save", "model": "site.Comment"}
    fields |= {"key": number, "at": at, "data": data}
    data["text"] = "x" * (EVENT_BYTES - len(json.dumps(fields)))
    return Job(id=name, body=json.dumps(fields).encode(), key=f"blast.{channel}")


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
        produce(words[1], float(words[2]), float(words[3]), int(words[4]))


if __name__ == "__main__":
    main(sys.argv[1:])
