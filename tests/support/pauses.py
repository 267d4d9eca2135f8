"""Pauses: for how long this machine let a process that had something to do wait, told apart from what is under test."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_S = 0.005


class Pauses:
    """A thread that sleeps 5 ms and then asks ``beside`` (a server's PING, say), again and again; what takes longer is a pause.

    On the wall clock, which the machine's servers share.
    """

    def __init__(self, beside: Callable[[], object] = lambda: None) -> None:
        self._beside = beside
        self._ticks = [time.time()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)

    def between(self, start: float, end: float) -> float:
        """Seconds for which nothing went on between the two times."""
        ticks = [*self._ticks, time.time()]
        over = 0.0
        for before, after in itertools.pairwise(ticks):
            inside = min(after, end) - max(before, start)
            over += max(0.0, inside - TICK_S)
        return over

    def longest(self) -> float:
        """Seconds of the longest."""
        return max(after - before for before, after in itertools.pairwise([*self._ticks, time.time()])) - TICK_S

    def _run(self) -> None:
        while not self._ended.is_set():
            time.sleep(TICK_S)
            self._beside()
            self._ticks.append(time.time())
