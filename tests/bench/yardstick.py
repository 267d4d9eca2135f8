"""How fast the machine itself was while something was measured: a loop of a fixed length, again and again."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

LOOPS: Final = 100_000
LOOKS: Final = 20


class Yardstick:
    """Each look takes about a tenth of a second: none while anything is measured."""

    def __init__(self) -> None:
        self._took_ms: list[float] = []

    def look(self) -> None:
        """Time the loop twenty times."""
        for _ in range(LOOKS):
            began, total = time.perf_counter(), 0
            for number in range(LOOPS):
                total += number
            self._took_ms.append((time.perf_counter() - began) * 1000)

    def told(self) -> str:
        """A line for docs/benchmarks.md."""
        took = sorted(self._took_ms)
        return (
            f"- the machine before, between and after: a loop of {LOOPS:,} additions took {median(took):.1f} ms in the median, "
            f"{took[0]:.1f} at the least, {took[len(took) * 95 // 100]:.1f} in the slowest twentieth"
        )
