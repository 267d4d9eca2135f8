"""Consumers that are killed by SIGKILL at a random point between two calls of Redis, one after another, from one process.

``python mortal.py URL NAME KILLS JOBS`` writes how many were killed, then ends.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.connection import AbstractConnection

from realtime_core.queue import Cancel, Finish, GiveBack, Job, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.queue import Claim, Verdict

BATCH = 10
AT_ONCE = 2


class Death:
    """Comes at the n-th call, before it is sent, before its reply is read, or after that."""

    def __init__(self, chance: random.Random) -> None:
        self.calls_left = chance.randrange(1, 14)
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


def consume(url: str, name: str, chance: random.Random, jobs: list[Job]) -> None:
    """Put, claim, do, settle, until death comes."""
    death = Death(chance)
    death.surround("send_packed_command", "before", "between")
    death.surround("read_response", "", "after")
    with Redis.from_url(url) as redis:
        queue = Queue(redis, name, lease_s=0.3, max_attempts=1000, backoff_s=0.0)
        while True:
            queue.put(jobs)
            claims = queue.claim(f"w{os.getpid()}", BATCH)
            with redis.pipeline() as pipe:
                for claim in claims:
                    pipe.hincrby(f"done:{{{name}}}", claim.id, 1)
                pipe.execute()
            queue.settle([verdict(claim, chance.random()) for claim in claims])


def verdict(claim: Claim, drawn: float) -> Verdict:
    """Most are done."""
    return Cancel(claim, "x") if drawn < 0.05 else GiveBack(claim) if drawn < 0.1 else Finish(claim)


def main(url: str, name: str, kills: int, jobs: int) -> None:
    each = -(-jobs // kills)
    alive: list[int] = []
    killed = 0
    for number in range(kills):
        first = number * each
        mine = [
            Job(id=f"j{n}", body=b"x", key=(None, f"k{n % 50}")[n % 2]) for n in range(first, min(jobs, first + each))
        ]
        pid = os.fork()
        if not pid:
            try:
                consume(url, name, random.Random(number), mine)
            finally:
                os._exit(1)
        alive.append(pid)
        if len(alive) >= AT_ONCE or number == kills - 1:
            killed += sum(os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL for pid in alive)
            alive.clear()
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
