"""One worker that behaves in one of several ways when more comes than it can do."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.replies import OK, UNAVAILABLE
from tests.darktime.blast.servers.service import Service
from tests.darktime.blast.servers.shares import Share
from tests.darktime.blast.servers.worker import Worker

if TYPE_CHECKING:
    import argparse

    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.requests import Head

WINDOW_S = 0.25
# What a refusal costs the degrading one, as a share of a request. With capacity C and load L it serves
# (C - 0.23 L) / 0.77: 0.94 of its capacity at 1.2 C and 0.70 at 2 C.
REFUSAL_COST = 0.23


class Overload(Service):
    """``--capacity`` requests a second, and above it:

    graceful: what would wait longer than ``--patience-ms`` gets a 503 that costs nothing; goodput stays.
    degrading: the same, but each 503 costs the worker time.
    collapse: graceful until more than ``--collapse-above`` times the capacity arrives (in 0.25 s); then each request
        takes ``--slowdown`` times as long, for as long as that lasts.
    queue: no 503 before ``--queue`` requests wait, and a request takes longer the more wait: time x (1 + waiting / 100).
    noisy: graceful, but every other ``--flip-s`` seconds, counted from the first request, each request takes twice as
        long: what it holds depends on when it is asked.
    metastable: a request that has waited longer than ``--patience-ms`` is done all the same, but in vain (503), and
        is tried again inside: ``--retries`` times its work on average. Once down it stays down while more than
        1 / (1 + retries) of the capacity arrives. At most twice the patience waits, what is above gets a 503.
    """

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        kinds = ["graceful", "degrading", "collapse", "queue", "noisy", "metastable"]
        parser.add_argument("--kind", choices=kinds, default="graceful")
        parser.add_argument("--capacity", type=float, default=500.0)
        parser.add_argument("--patience-ms", type=float, default=50.0)
        parser.add_argument("--collapse-above", type=float, default=1.3)
        parser.add_argument("--slowdown", type=float, default=2.5)
        parser.add_argument("--flip-s", type=float, default=3.0)
        parser.add_argument("--queue", type=int, default=1000)
        parser.add_argument("--retries", type=float, default=1.5)

    def __init__(self, loop: Loop, options: argparse.Namespace) -> None:
        super().__init__(loop, options)
        self._kind: str = options.kind
        self._service_s = 1 / options.capacity
        self._patience_s = options.patience_ms / 1000
        self._may_wait = {"queue": options.queue, "metastable": round(2 * self._patience_s * options.capacity)}.get(
            self._kind, max(1, round(self._patience_s * options.capacity))
        )
        self._whole_retries = int(options.retries)
        self._more_retries = Share(options.retries - self._whole_retries)
        self._arrivals: deque[float] = deque()
        self._began = 0.0  # when the first request came
        self._refusals = 0.0  # work that refusals have made and nobody has done yet, in requests
        self._worker: Worker[Link | None] = Worker(loop, time_of=self._time_of, done=self._done)

    def serve(self, link: Link, head: Head, body: bytes) -> None:
        self._began = self._began or monotonic()
        if self._kind == "collapse":
            self._arrivals.append(monotonic())
        if len(self._worker.queue) < self._may_wait:
            self._worker.add(link)
            return
        self.counts["shed"] += 1
        link.answer(503, UNAVAILABLE)
        if self._kind == "degrading":
            self._refusals = min(self._refusals + REFUSAL_COST, self._may_wait)

    def gauges(self) -> dict[str, float]:
        return {"queue": len(self._worker.queue), "queue_longest": self._worker.longest}

    def _time_of(self, _link: Link | None, waiting: int) -> float:
        time_s = self._service_s
        if self._kind == "degrading":
            time_s += self._service_s * self._refusals
            self._refusals = 0.0
        elif self._kind == "queue":
            time_s *= 1 + waiting / 100
        elif self._kind == "noisy":
            time_s *= 1 + int((monotonic() - self._began) / self.options.flip_s) % 2
        elif self._kind == "collapse" and self._arriving() > self.options.collapse_above * self.options.capacity:
            self.counts["thrashed"] += 1
            time_s *= self.options.slowdown
        return time_s

    def _arriving(self) -> float:
        """Requests a second that came in the last window."""
        since = monotonic() - WINDOW_S
        while self._arrivals and self._arrivals[0] < since:
            self._arrivals.popleft()
        return len(self._arrivals) / WINDOW_S

    def _done(self, link: Link | None, came: float, began: float) -> None:
        if link is None:  # a retry: nobody waits for it
            self.counts["retried"] += 1
        elif self._kind == "metastable" and began - came > self._patience_s:
            self.counts["late"] += 1
            for _ in range(self._whole_retries + self._more_retries.hits()):
                if len(self._worker.queue) < self._may_wait:
                    self._worker.add(None)
                else:
                    self.counts["retries_shed"] += 1
            link.answer(503, UNAVAILABLE)
        else:
            link.answer(200, OK)
