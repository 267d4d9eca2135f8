"""Listens to the canary: an independent process that asks the instance some times a second while the cohort loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from darktime.blast.canary import RATE_PER_S, TIMEOUT_S
from darktime.blast.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.settings import Address

# Fewer answers are no witness: their p99 is their slowest.
LEAST_ANSWERS = 10
# At most so much of what an instance is offered: on a slow one ten a second were a load of their own.
SHARE = 0.02
# While nothing is offered, of the rate that it did not hold: enough to see that it is well again.
CALM_PARTS = 10
LEAST_CALM_PER_S = 1.0
END_S = 2.0


def pace(load_per_s: float, duration_s: float, *, wanted: bool = False) -> float:
    """Requests a second of the canary beside a load: none where so few would say nothing.

    ``wanted``: somebody asked for it at a rate of his own, so it asks as often as it must to say something.
    """
    if wanted:
        return min(RATE_PER_S, max(load_per_s * SHARE, (LEAST_ANSWERS + 2) / duration_s))
    per_s = min(RATE_PER_S, load_per_s * SHARE)
    return per_s if per_s * duration_s >= LEAST_ANSWERS else 0.0


def pace_to_see_calm(failed_per_s: float) -> float:
    """... while nothing else is offered, after a rate that was not held."""
    return min(RATE_PER_S, max(failed_per_s / CALM_PARTS, LEAST_CALM_PER_S))


class Witness:
    """Starts the canary; ``p99_ms`` is of what it saw in a span (seconds, UTC). ``close`` ends it.

    ``headers``: what the cohort's requests carry beside the usual.
    """

    def __init__(self, address: Address, path: str, headers: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "darktime.blast.canary", str(os.getpid())],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"address": asdict(address), "path": path, "headers": dict(headers or {})}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._pace = RATE_PER_S
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self.answers: list[tuple[float, int]] = []

    def ask(self, per_s: float) -> None:
        """So many times a second from now on."""
        assert self._process.stdin is not None
        if per_s != self._pace:
            self._pace = per_s
            with suppress(BrokenPipeError):  # whoever has ended says nothing either
                self._process.stdin.write(f"{per_s:.6g}\n".encode())

    def listen(self) -> list[tuple[float, int]]:
        """What it has said since the last time: (seconds UTC, microseconds; -1 for a failure)."""
        assert self._process.stdout is not None
        heard = b""
        while not self._process.stdout.closed:
            try:
                part = os.read(self._process.stdout.fileno(), 65_536)
            except BlockingIOError:
                break
            if not part:
                break
            heard += part
        *lines, self._rest = (self._rest + heard).split(b"\n")
        new = [(float(at), int(took)) for at, took in (line.split() for line in lines)]
        self.answers += new
        return new

    @property
    def pid(self) -> int:
        """The canary's process."""
        return self._process.pid

    @property
    def knows(self) -> bool:
        """Whether it was ever answered: who never was (it may not come in) has nothing to say of how others are served."""
        return any(took >= 0 for _, took in self.answers)

    def calm_us(self) -> float:
        """What an answer may take while nothing is wrong: twice the quarter of its fastest, or 10 ms more."""
        self.listen()
        times = sorted(took for _, took in self.answers if took >= 0)
        usual = times[len(times) // 4] if times else 0
        return max(2.0 * usual, usual + 10_000.0)

    def p99_ms(self, since_s: float, until_s: float) -> tuple[float | None, int]:
        """p99 of its answers in a span, and how many they are; None where they are too few, or where it knows nothing.

        A failure counts as the longest that it would have waited.
        """
        self.listen()
        longest_us = TIMEOUT_S * 1e6
        times = sorted(took if took >= 0 else longest_us for at, took in self.answers if since_s <= at <= until_s)
        if len(times) < LEAST_ANSWERS or not self.knows:
            return None, len(times)
        return times[min(int(len(times) * 0.99), len(times) - 1)] / 1000, len(times)

    def summary(self, others: int) -> dict[str, Any] | None:
        """Of the whole run, in which there were so many requests (and deliveries) of others."""
        self.listen()
        if not self.answers:
            return None
        seen = Histogram()
        for _, took in self.answers:
            if took >= 0:
                seen.add(took)
        errors = len(self.answers) - seen.count
        p50, p99 = seen.percentile_ms(50), seen.percentile_ms(99)
        share = round(len(self.answers) / (len(self.answers) + others), 6)
        return {"requests": len(self.answers), "errors": errors, "p50_ms": p50, "p99_ms": p99, "share": share}

    def close(self) -> None:
        """End it, and hear what became of the request that was under way: the instance has counted it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.listen()
        self._process.stdout.close()
