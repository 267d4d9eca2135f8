"""Listens to the canary: an independent process that asks the instance some times a second while the cohort loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from darktime.blast.histogram import Histogram

if TYPE_CHECKING:
    from darktime.blast.settings import Address

# Fewer answers are no witness: their p99 is their slowest.
LEAST_ANSWERS = 10
END_S = 2.0


class Witness:
    """Starts the canary; ``between`` gives what it saw in a span (seconds, UTC). ``close`` ends it."""

    def __init__(self, address: Address, path: str) -> None:
        words = [json.dumps(asdict(address)), path, str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "darktime.blast.canary", *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self.answers: list[tuple[float, int]] = []

    def listen(self) -> list[tuple[float, int]]:
        """What it has said since the last time: (seconds UTC, microseconds; -1 for a failure)."""
        assert self._process.stdout is not None
        heard = b""
        while True:
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

    def calm_us(self) -> float:
        """What an answer may take while nothing is wrong: twice the quarter of its fastest, or 10 ms more."""
        self.listen()
        times = sorted(took for _, took in self.answers if took >= 0)
        usual = times[len(times) // 4] if times else 0
        return max(2.0 * usual, usual + 10_000.0)

    def p99_ms(self, since_s: float, until_s: float) -> tuple[float | None, int]:
        """p99 of its answers in a span, a failure counting as the slowest; None where they are too few. How many."""
        self.listen()
        times = sorted(took for at, took in self.answers if since_s <= at <= until_s)
        if len(times) < LEAST_ANSWERS or times[0] < 0:
            return None, len(times)
        return times[min(int(len(times) * 0.99), len(times) - 1)] / 1000, len(times)

    def summary(self) -> dict[str, Any] | None:
        """Of the whole run."""
        self.listen()
        if not self.answers:
            return None
        seen = Histogram()
        for _, took in self.answers:
            if took >= 0:
                seen.add(took)
        errors = len(self.answers) - seen.count
        p50, p99 = seen.percentile_ms(50), seen.percentile_ms(99)
        return {"requests": len(self.answers), "errors": errors, "p50_ms": p50, "p99_ms": p99}

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
