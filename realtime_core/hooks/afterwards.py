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

    What is asked for in between is written by a thread when the time has come, by one at a time, which an interpreter that
    ends waits for. A process that is killed loses what was asked for since the last write. Any thread may ask, also one that
    is writing. A forked child asks anew.
    """

    def __init__(self, write: Callable[[], None], every_s: float = EVERY_S) -> None:
        """Nothing is written yet.

        Args:
            write: writes all that there is; called by one thread at a time.
            every_s: how long is gathered.
        """
        self._write = write
        self._every_s = every_s
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # held for an instant
        self._writing = threading.Lock()
        self._next_at = 0.0
        self._comes = False  # a write that has not begun, and so writes what is asked for now

    def ask(self) -> None:
        """Have it written: now, or within ``every_s`` or what a write that is under way takes longer."""
        with self._lock:
            if self._comes:
                return
            wait_s = self._next_at - time.monotonic()
            mine = wait_s <= 0 and self._writing.acquire(blocking=False)
            if not mine:
                self._comes = self._start(min(max(wait_s, 0.0), self._every_s))
            comes = self._comes
        if mine:
            try:
                self._make()
            finally:
                self._writing.release()
        elif not comes:
            self.now()

    def now(self) -> None:
        """Write it at once; what another thread is writing has been written too when this returns.

        Not for signal handlers: they may have interrupted a write, for which this would wait.
        """
        with self._writing:
            self._make()

    def _make(self) -> None:
        with self._lock:
            self._next_at = time.monotonic() + self._every_s
        self._write()

    def _start(self, wait_s: float) -> bool:
        """Whether a thread could be started that is waited for: in an interpreter that ends none is."""
        if not threading.main_thread().is_alive():
            return False
        timer = threading.Timer(wait_s, self._later)
        timer.name = "after-puts"
        try:
            timer.start()
        except RuntimeError:
            return False
        return True

    def _later(self) -> None:
        with self._writing:
            with self._lock:
                self._comes = False
            self._make()


_all: Final[weakref.WeakSet[Afterwards]] = weakref.WeakSet()


def _after_fork() -> None:
    """The thread that was to write is the parent's, as is what it was to write."""
    for one in list(_all):
        one._begin()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)
