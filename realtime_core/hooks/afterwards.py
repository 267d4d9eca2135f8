"""What is written about puts once the queue has taken them: at once where they are few, together where they are many."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S: Final = 0.05


class Afterwards:
    """Calls ``write``, and not more often than each ``every_s``: a request waits for it only where none was just made.

    What is asked for in between is written by a thread when the time has come, which a process that ends waits for; one
    that is killed loses ``every_s`` of it at most. Any thread may ask. A forked child asks anew.
    """

    def __init__(self, write: Callable[[], None], every_s: float = EVERY_S) -> None:
        """Nothing is written yet.

        Args:
            write: writes all that there is, and raises nothing; called by one thread at a time.
            every_s: how long is gathered.
        """
        self._write = write
        self._every_s = every_s
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._next_at = 0.0
        self._comes = False

    def ask(self) -> None:
        """Have it written: now, or within ``every_s``."""
        with self._lock:
            if self._comes:
                return
            now = time.monotonic()
            wait_s = self._next_at - now
            if wait_s <= 0:
                self._next_at = now + self._every_s
            else:
                self._comes = self._start(wait_s)
            comes = self._comes
        if not comes:
            self.now()

    def now(self) -> None:
        """Write it at once; what another thread is writing has been written too when this returns."""
        with self._writing:
            self._write()

    def _start(self, wait_s: float) -> bool:
        """Whether a thread could be started: in an interpreter that ends none can."""
        timer = threading.Timer(wait_s, self._later)
        timer.name = "after-puts"
        try:
            timer.start()
        except RuntimeError:
            return False
        return True

    def _later(self) -> None:
        with self._lock:
            self._comes = False
            self._next_at = time.monotonic() + self._every_s
        self.now()


_all: Final[weakref.WeakSet[Afterwards]] = weakref.WeakSet()


def _after_fork() -> None:
    """The thread that was to write is the parent's, as is what it was to write."""
    for one in list(_all):
        one._begin()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)
