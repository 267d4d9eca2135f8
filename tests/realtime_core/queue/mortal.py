"""Consumers that are killed by SIGKILL at a random point between two calls of Redis, one after another, from one process.

``python mortal.py URL NAME KILLS JOBS`` writes how many were killed, then ends. What they did stands beside the queue, written by
themselves and not by the queue, in one transaction with the doing:

- ``done:{NAME}``: job -> how often somebody did it and then said that it is finished;
- ``back:{NAME}``: job -> how often somebody did it and then cancelled it or gave it back;
- ``hands:{NAME}``: consumer -> the jobs it did last, which are those that its death may have kept from being settled;
- ``late:{NAME}``: job -> how often somebody who was alive for longer than a lease was told that it is no longer theirs;
- ``robbed:{NAME}``: the same, and the lease was not over;
- ``events:{NAME}``: "JOB EVENT" for each event id that a job was stamped with.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.connection import AbstractConnection

from realtime_core.queue import Cancel, Finish, GiveBack, Job, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime_core.queue import Claim, Verdict

BATCH = 10
AT_ONCE = 2


class Death:
    """Comes at the n-th call, before it is sent, before its reply is read, or after that."""

    def __init__(self, chance: random.Random) -> None:
        self.calls_left = chance.randrange(1, 24)
        self.where = chance.choice(["before", "between", "after"])

    def surround(self, name: str, before: str, after: str) -> None:
        real: Callable[..., Any] = getattr(AbstractConnection, name)

        def surrounded(connection: AbstractConnection, *args: Any, **kwargs: Any) -> Any:
            if name == "send_packed_command":
                self.calls_left -= 1
            self.strike(before)
            answer = real(connection, *args, **kwargs)
            self.strike(after)
            return answer

        setattr(AbstractConnection, name, surrounded)

    def strike(self, where: str) -> None:
        if self.calls_left <= 0 and self.where == where:
            os.kill(os.getpid(), signal.SIGKILL)


def channel_of(id_: str) -> str:
    """The one in which a job's event appears."""
    return f"c{int(id_[1:]) % 7}"


def job(number: int) -> Job:
    """One of all: half of them have a key."""
    return Job(id=f"j{number}", body=b"x", key=(None, f"k{number % 50}")[number % 2])


def work(queue: Queue, worker: str, batch: int, choose: Callable[[Claim], Verdict]) -> None:
    """Claim, stamp, renew, do, settle: once."""
    redis, name = queue.redis, queue.name
    began = time.monotonic()
    claims = queue.claim(worker, batch)
    events = dict(zip(claims, queue.stamp(claims, [[channel_of(claim.id)] for claim in claims]), strict=True))
    renewed = time.monotonic()
    gone = set(queue.renew(claims)) | {claim.id for claim in claims if not events[claim]}
    note_gone(queue, gone, began)
    verdicts = [choose(claim) for claim in claims if claim.id not in gone]
    with redis.pipeline() as pipe:
        for verdict in verdicts:
            where = "done" if isinstance(verdict, Finish) else "back"
            pipe.hincrby(f"{where}:{{{name}}}", verdict.claim.id, 1)
            pipe.sadd(f"events:{{{name}}}", f"{verdict.claim.id} {events[verdict.claim][0]}")
        pipe.hset(f"hands:{{{name}}}", worker, " ".join(verdict.claim.id for verdict in verdicts))
        pipe.execute()
    note_gone(queue, queue.settle(verdicts).stale, renewed)


def note_gone(queue: Queue, ids: Iterable[str], since: float) -> None:
    """Write down what was told to be somebody else's, by whether a lease that began at ``since`` or later can be over."""
    what = "late" if time.monotonic() - since >= queue.lease_s else "robbed"
    with queue.redis.pipeline() as pipe:
        for id_ in ids:
            pipe.hincrby(f"{what}:{{{queue.name}}}", id_, 1)
        pipe.execute()


def consume(url: str, name: str, number: int, jobs: list[Job]) -> None:
    """Put and work, until death comes."""
    chance = random.Random(number)
    death = Death(chance)
    death.surround("send_packed_command", "before", "between")
    death.surround("read_response", "", "after")
    with Redis.from_url(url) as redis:
        queue = Queue(redis, name, lease_s=0.3, max_attempts=1000, backoff_s=0.0)
        while True:
            queue.put(jobs)
            work(queue, f"w{number}", BATCH, lambda claim: drawn(claim, chance.random()))


def drawn(claim: Claim, number: float) -> Verdict:
    """Most are done."""
    return Cancel(claim, "x") if number < 0.05 else GiveBack(claim) if number < 0.1 else Finish(claim)


def main(url: str, name: str, kills: int, jobs: int) -> None:
    each = -(-jobs // kills)
    alive: list[int] = []
    killed = 0
    for number in range(kills):
        first = number * each
        mine = [job(n) for n in range(first, min(jobs, first + each))]
        pid = os.fork()
        if not pid:
            try:
                consume(url, name, number, mine)
            finally:
                os._exit(1)
        alive.append(pid)
        if len(alive) >= AT_ONCE or number == kills - 1:
            killed += sum(os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL for pid in alive)
            alive.clear()
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
