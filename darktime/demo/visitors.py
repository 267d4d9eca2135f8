"""The visitors of the demo: some hundred people with cookies, streams and comments, in one process of greenlets.

``python -m darktime.demo.visitors --front HOST:PORT --redis URL --name NAME --state FILE``. It takes orders from the Redis
list ``orders:{NAME}`` (write, quiet, swap, leave) and shows what it has done in the state file, twice a second.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - nothing may be imported before the patch
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import gevent.pool  # noqa: E402
import redis  # noqa: E402

from darktime.demo.canary import Canary  # noqa: E402
from darktime.demo.settings import uid  # noqa: E402
from darktime.demo.tally import Tally, write_state  # noqa: E402
from darktime.demo.visitor import REQUEST_TIMEOUT_S, Visitor  # noqa: E402
from realtime_core.ledger import Ledger  # noqa: E402

STATE_EVERY_S = 0.5
ORDER_WAIT_S = 1
MEAN_PAUSE_S = 2.0
CONNECTS_PER_S = 200


class Population:
    """All visitors. ``join`` and ``part`` change who is there; ``write_on`` starts the comments."""

    def __init__(self, options: argparse.Namespace, tally: Tally) -> None:
        self._options = options
        self._tally = tally
        self._draw = random.Random(options.seed)
        host, _, port = options.front.rpartition(":")
        self._address = (host, int(port))
        self._greenlets = gevent.pool.Group()
        self._writes = gevent.pool.Group()
        self._next = 0
        self._write_on = False
        self.present: list[Visitor] = []
        self.seen: list[str] = []

    def join(self, count: int) -> None:
        """New visitors come, paced so that no listen queue overflows."""
        for _ in range(count):
            name = uid(self._next)
            thread = self._next % self._options.threads + 1
            self._next += 1
            visitor = Visitor(name, thread, self._address, self._tally, random.Random(self._draw.random()))
            self.present.append(visitor)
            self.seen.append(name)
            self._greenlets.spawn(visitor.watch)
            self._greenlets.spawn(visitor.browse, MEAN_PAUSE_S)
            gevent.sleep(1 / CONNECTS_PER_S)

    def part(self, count: int) -> None:
        """The visitors who came first leave."""
        leaving, self.present = self.present[:count], self.present[count:]
        for visitor in leaving:
            visitor.leave()

    def comment_for_ever(self, per_s: float) -> None:
        """Somebody writes, ``per_s`` times a second on average, while writing is on."""
        while True:
            gevent.sleep(self._draw.expovariate(per_s))
            if self._write_on and self.present:
                self._writes.spawn(self._draw.choice(self.present).write)

    @property
    def writing(self) -> bool:
        """Whether comments are written, or one is still under way."""
        return self._write_on or len(self._writes) > 0

    def write(self, *, on: bool) -> None:
        """Begin to write comments, or begin no more."""
        self._write_on = on

    def stop(self) -> None:
        """Everybody leaves, questions under way are heard out; what still runs after that is ended."""
        self.part(len(self.present))
        for group in (self._writes, self._greenlets):
            group.join(timeout=REQUEST_TIMEOUT_S)
            group.kill(timeout=1)


def obey(population: Population, order: str) -> bool:
    """Carry out one order; False when it was the last."""
    verb, _, argument = order.partition(" ")
    if verb == "write":
        population.write(on=True)
    elif verb == "quiet":
        population.write(on=False)
    elif verb == "swap":
        population.part(int(argument))
        population.join(int(argument))
    elif verb == "leave":
        population.write(on=False)
        population.stop()
    return verb != "end"


def main(argv: list[str] | None = None) -> int:
    """Run until the order ``end`` or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m darktime.demo.visitors", description=__doc__)
    parser.add_argument("--front", required=True, metavar="HOST:PORT")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--name", default="demo", help="the ledger's name")
    parser.add_argument("--hop", default=None, help="where deliveries are counted -1; nowhere when left out")
    parser.add_argument("--state", required=True, type=Path, metavar="FILE")
    parser.add_argument("--visitors", type=int, default=300)
    parser.add_argument("--swapped", type=int, default=0, help="how many more will come later (for the canaries)")
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--writes", type=float, default=20.0, metavar="PER_SECOND")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--canary", action="append", default=[], metavar="HOP=HOST:PORT")
    options = parser.parse_args(argv)

    link = redis.Redis.from_url(options.redis, socket_timeout=5.0, socket_connect_timeout=5.0)
    ledger = Ledger(link, options.name, f"visitors#{os.getpid():x}")
    tally = Tally(ledger, options.hop)
    population = Population(options, tally)
    channels = [f"thread:{number}" for number in range(1, options.threads + 1)]
    channels += [f"user:{uid(number)}" for number in range(options.visitors + options.swapped)]
    canaries = [Canary(*canary.split("=", 1), channels=channels, ledger=ledger) for canary in options.canary]
    for canary in canaries:
        canary.start()

    def report() -> None:
        while True:
            gevent.sleep(STATE_EVERY_S)
            flush(ledger, tally)
            write_state(options.state, state(population, tally, canaries))

    print("visitors are coming", flush=True)
    gevent.spawn(report)
    gevent.spawn(population.comment_for_ever, options.writes)
    population.join(options.visitors)
    orders = f"orders:{{{options.name}}}"
    running = True
    while running:
        try:
            order = link.blpop([orders], timeout=ORDER_WAIT_S)
        except redis.RedisError as error:
            tally.samples.append(f"orders: {error}")
            gevent.sleep(1)
            continue
        if order:
            running = obey(population, order[1].decode() if isinstance(order[1], bytes) else order[1])
    population.stop()
    for canary in canaries:
        canary.stop()
    write_state(options.state, state(population, tally, canaries))
    ledger.close()
    return 0


def flush(ledger: Ledger, tally: Tally) -> None:
    """Send the counts; with Redis gone they are kept, and go with a later flush."""
    try:
        ledger.flush()
    except redis.RedisError as error:
        tally.samples.append(f"ledger: {error}")


def state(population: Population, tally: Tally, canaries: list[Canary]) -> dict[str, Any]:
    """What the state file holds."""
    return tally.snapshot() | {
        "present": len(population.present),
        "seen": population.seen,
        "writing": population.writing,
        "canaries_open": all(canary.open for canary in canaries),
    }


if __name__ == "__main__":
    sys.exit(main())
