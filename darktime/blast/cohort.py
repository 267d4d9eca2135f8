"""Owns the turn of many raw sockets on one poller: waits, hands each owner its ready sockets, and keeps the second.

Nothing here knows what the sockets say; request pools and event streams register their descriptors as their own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from darktime.wire.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Callable

Batch = list[tuple[int, int]]

# No wait is longer: stop requests, timeouts and the second are looked at this often at least.
MAX_WAIT_S = 0.05
SECOND_S = 1.0
CHORES_S = 0.1


class Owner(Protocol):
    """Who reads and writes sockets."""

    def ready(self, batch: Batch) -> None:
        """These of its descriptors are ready, each with a mask; one that it has closed meanwhile is to be skipped."""


class Cohort:
    """One a process. ``chores`` run ten times a second, ``each_second`` once a second and at the end (``flush``)."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.chores: list[Callable[[], None]] = []
        self.each_second: list[Callable[[], None]] = []
        self.loop_lag_max_s = 0.0
        self._owners: dict[int, Owner] = {}
        self._shared = False  # sockets of more than one owner are watched, or were
        self._next_chores = 0.0
        self._next_second = time.monotonic() + SECOND_S
        self._last_turn = time.monotonic()
        self._last_wait = MAX_WAIT_S

    @property
    def waited_until_s(self) -> float:
        """When the last wait was over (monotonic): from then on it was handled what had come."""
        return self._last_turn

    def register(self, fd: int, mask: int, owner: Owner) -> None:
        """Watch a descriptor of ``owner``'s."""
        if not self._shared and self._owners and next(iter(self._owners.values())) is not owner:
            self._shared = True
        self._owners[fd] = owner
        self.poller.register(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop to watch a descriptor, before it is closed."""
        if self._owners.pop(fd, None) is not None:
            self.poller.unregister(fd)

    def turn(self, timeout_s: float) -> None:
        """Wait until something is ready, ``timeout_s`` at most, and have all that is handled."""
        timeout_s = min(max(timeout_s, 0.0), MAX_WAIT_S)
        ready = self.poller.poll(timeout_s)
        now = time.monotonic()
        # Longer between two turns than this one wanted to wait: something else had the processor.
        self.loop_lag_max_s = max(self.loop_lag_max_s, now - self._last_turn - self._last_wait)
        self._last_turn, self._last_wait = now, timeout_s
        if ready:
            self._hand_out(ready)
        if now >= self._next_chores:
            self._next_chores = now + CHORES_S
            for chore in list(self.chores):
                chore()
        if now >= self._next_second:
            self._next_second = now + SECOND_S
            self.flush()

    def flush(self) -> None:
        """Hand on what was counted since the last second."""
        for listener in list(self.each_second):
            listener()

    def resume(self) -> None:
        """Begin a new measured span: what happened between two spans is no lag of the loop."""
        self._last_turn = time.monotonic()
        self._last_wait = MAX_WAIT_S
        self.loop_lag_max_s = 0.0

    def close(self) -> None:
        """Give the poller back. Sockets belong to pools and streams, which close them."""
        self._owners.clear()
        self.poller.close()

    def _hand_out(self, ready: Batch) -> None:
        owners = self._owners
        if not self._shared:
            owner = owners.get(ready[0][0])
            if owner is not None:
                owner.ready(ready)
            return
        shares: dict[int, tuple[Owner, Batch]] = {}
        for pair in ready:
            owner = owners.get(pair[0])
            if owner is None:
                continue
            share = shares.get(id(owner))
            if share is None:
                shares[id(owner)] = (owner, [pair])
            else:
                share[1].append(pair)
        for owner, batch in shares.values():
            owner.ready(batch)
