"""Owns the turn of many raw sockets on one poller: waits, hands each ready socket to its handler, and keeps the second.

Nothing here knows what the sockets say; request pools and event streams register their descriptors with a handler each.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from darktime.wire.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Callable

# No wait is longer: stop requests, timeouts and the second are looked at this often at least.
MAX_WAIT_S = 0.05
SECOND_S = 1.0
CHORES_S = 0.1


class Cohort:
    """One a process. ``chores`` run ten times a second, ``each_second`` once a second and at the end (``flush``)."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.chores: list[Callable[[], None]] = []
        self.each_second: list[Callable[[], None]] = []
        self.loop_lag_max_s = 0.0
        self._next_chores = 0.0
        self._next_second = time.monotonic() + SECOND_S
        self._last_turn = time.monotonic()
        self._last_wait = MAX_WAIT_S

    def register(self, fd: int, mask: int, handler: Callable[[int], None]) -> None:
        """Watch a descriptor; ``handler`` gets the mask of what is ready."""
        self.handlers[fd] = handler
        self.poller.register(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop to watch a descriptor, before it is closed."""
        if self.handlers.pop(fd, None) is not None:
            self.poller.unregister(fd)

    def turn(self, timeout_s: float) -> None:
        """Wait until something is ready, ``timeout_s`` at most, and handle all that is."""
        timeout_s = min(max(timeout_s, 0.0), MAX_WAIT_S)
        ready = self.poller.poll(timeout_s)
        now = time.monotonic()
        # Longer between two turns than this one wanted to wait: something else had the processor.
        self.loop_lag_max_s = max(self.loop_lag_max_s, now - self._last_turn - self._last_wait)
        self._last_turn, self._last_wait = now, timeout_s
        handlers = self.handlers
        for fd, mask in ready:
            handler = handlers.get(fd)
            if handler is not None:  # another handler of this batch may have closed it
                handler(mask)
        if now >= self._next_chores:
            self._next_chores = now + CHORES_S
            for chore in self.chores:
                chore()
        if now >= self._next_second:
            self._next_second = now + SECOND_S
            self.flush()

    def flush(self) -> None:
        """Hand on what was counted since the last second."""
        for listener in self.each_second:
            listener()

    def resume(self) -> None:
        """Begin a new measured span: what happened between two spans is no lag of the loop."""
        self._last_turn = time.monotonic()
        self._last_wait = MAX_WAIT_S
        self.loop_lag_max_s = 0.0

    def close(self) -> None:
        """Give the poller back. Sockets belong to pools and streams, which close them."""
        self.handlers.clear()
        self.poller.close()
