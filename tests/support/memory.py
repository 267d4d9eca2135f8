"""Memory of processes, looked at while a test holds them: how much, and whether it grows."""

from __future__ import annotations

import math
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Looks = list[tuple[float, int]]
_Z95 = 1.645  # one-sided


def resident_kb(pid: int) -> int:
    """Resident memory; 0 of a process that has just ended. Raises FileNotFoundError."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def slope_a_minute(looks: Looks) -> float:
    """Theil-Sen's, as a share of the level: what a leak would be, and a step is not."""
    return 60 * median(_slopes(looks)) / median(level for _, level in looks)


def most_slope_a_minute(looks: Looks) -> float:
    """Its upper bound at 95 %, by the distribution of Kendall's tau (Sen, 1968)."""
    slopes, n = _slopes(looks), len(looks)
    spread = _Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    rank = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return 60 * slopes[rank] / median(level for _, level in looks)


def _slopes(looks: Looks) -> list[float]:
    return sorted(
        (later - earlier) / (at_later - at)
        for index, (at, earlier) in enumerate(looks)
        for at_later, later in looks[index + 1 :]
    )


class Watch:
    """Looks at some processes every ``every_s``, in a thread. A context. ``looks``: by pid."""

    def __init__(self, pids: Callable[[], Iterable[int]], every_s: float) -> None:
        self.looks: dict[int, Looks] = {}
        self._pids, self._every_s = pids, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(self._every_s):
            now = time.monotonic()
            for pid in self._pids():
                with suppress(FileNotFoundError, ProcessLookupError):  # the last look may come after its end
                    kb = resident_kb(pid)
                    if kb:
                        self.looks.setdefault(pid, []).append((now, kb))
