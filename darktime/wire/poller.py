"""Waits on many sockets with one epoll; inside gevent the hub waits on the epoll's own descriptor.

A nested epoll costs one switch a batch, not one a socket. Short waits end by a timer in the same epoll, which is
precise to some 50 µs, where the timeouts of epoll and of event loops are whole milliseconds. A poller belongs to one
greenlet (or thread) and one process: make it after a fork, never before.
"""

from __future__ import annotations

import select
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from darktime.wire.timer import Timer

if TYPE_CHECKING:
    from types import TracebackType

# The kernel's own constants: select.EPOLLIN and its kind vanish with select.epoll once gevent has patched the process.
IN, OUT, ERR, HUP, RDHUP = 0x001, 0x004, 0x008, 0x010, 0x2000

BATCH = 4096
# Sockets that are always ready would starve every other greenlet (Locust's heartbeats among them).
YIELD_EVERY_S = 0.02


class Poller:
    """Many file descriptors, level-triggered, one waiter.

    ``cooperative`` says whether the hub of gevent does the waiting; by default it does when gevent has patched the
    process. ``coarse``: waits may last a millisecond longer, and each is one system call in place of three.
    """

    def __init__(self, *, cooperative: bool | None = None, coarse: bool = False) -> None:
        if cooperative is None:
            monkey = sys.modules.get("gevent.monkey")
            cooperative = monkey is not None and monkey.is_anything_patched()
        self.cooperative = cooperative
        self._coarse = coarse and not cooperative
        self._epoll = _original_epoll()
        self.fd: int = self._epoll.fileno()  # readable when something is ready: another poller may watch it
        self._timer = Timer()
        self._timer_set = False
        self._epoll.register(self._timer.fd, IN)
        self._watcher: Any = None
        self._yielded = time.monotonic()

    def register(self, fd: int, mask: int) -> None:
        """Start to watch ``fd`` for ``mask`` (``IN``, ``OUT`` ...; errors and hang-ups are always reported)."""
        self._epoll.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        """Watch ``fd`` for another mask."""
        self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop to watch ``fd``; do this before it is closed."""
        self._epoll.unregister(fd)

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """What is ready as (fd, mask) pairs; empty after ``timeout_s``.

        Lets other greenlets run every 20 ms even when never idle.
        """
        if self._coarse:
            found: list[tuple[int, int]] = self._epoll.poll(timeout_s, BATCH)
            return found
        ready = self._ready()
        if not ready and timeout_s > 0:
            self._timer.set(timeout_s)
            self._timer_set = True
            if not self.cooperative:
                return self._without_timer(self._epoll.poll(-1, BATCH))
            self._wait_in_hub()
            return self._ready()
        if self.cooperative and (not ready or time.monotonic() - self._yielded > YIELD_EVERY_S):
            self._let_others_run()
        return ready

    def close(self) -> None:
        """Give the descriptor back. Watched sockets stay open: they are the caller's."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._epoll.close()
        self._timer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ready(self) -> list[tuple[int, int]]:
        ready: list[tuple[int, int]] = self._epoll.poll(0, BATCH)
        return self._without_timer(ready) if self._timer_set else ready

    def _without_timer(self, ready: list[tuple[int, int]]) -> list[tuple[int, int]]:
        expired = (self._timer.fd, IN)
        if expired in ready:
            ready.remove(expired)
            self._timer.seen()
            self._timer_set = False
        return ready

    def _let_others_run(self) -> None:
        import gevent  # noqa: PLC0415 - who polls without gevent never loads it

        gevent.sleep(0)
        self._yielded = time.monotonic()

    def _wait_in_hub(self) -> None:
        import gevent  # noqa: PLC0415

        hub = gevent.get_hub()
        if self._watcher is None:
            self._watcher = hub.loop.io(self._epoll.fileno(), 1)
        hub.wait(self._watcher)
        self._yielded = time.monotonic()


def _original_epoll() -> Any:
    if "gevent.monkey" in sys.modules:
        from gevent import monkey  # noqa: PLC0415

        return monkey.get_original("select", "epoll")()
    return select.epoll()
