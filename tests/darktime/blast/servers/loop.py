"""The loop of one server: one epoll, and things that are due at a time, done within a fraction of a millisecond."""

from __future__ import annotations

import select
import socket
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.darktime.blast.servers.precise import TimerDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT = select.EPOLLIN, select.EPOLLOUT
EVENTS_A_LOOK = 512
# A timer wakes a process 50 µs late: it is set that much earlier, the rest is waited out awake.
EARLY_S = 0.00008


class Loop:
    """Watches descriptors, each with a callback that gets the epoll mask, until ``stop``."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timer = TimerDescriptor()
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._woken, self.wakeup = socket.socketpair()
        self._woken.setblocking(False)
        self.wakeup.setblocking(False)
        self.stopping = False
        self.lateness_max_s = 0.0
        self.watch(self._timer.fd, IN, lambda _mask: self._timer.clear())
        self.watch(self._woken.fileno(), IN, lambda _mask: self._wake())

    @property
    def woken_fd(self) -> int:
        """Readable once a signal has come."""
        return self._woken.fileno()

    def watch(self, fd: int, mask: int, callback: Callable[[int], None]) -> None:
        """Begin to watch."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Watch for something else."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Watch no longer; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        """Call at ``when`` (monotonic seconds); what is due at the same time goes in the order it was asked for."""
        heappush(self._due, (when, next(self._order), callback, arguments))

    def stop(self) -> None:
        """End ``run``; may be called by a signal handler."""
        self.stopping = True

    def run(self) -> None:
        """Until ``stop``."""
        due, callbacks, poll = self._due, self._callbacks, self._epoll.poll
        while not self.stopping:
            for fd, mask in poll(self._pause_s(), EVENTS_A_LOOK):
                if due and due[0][0] <= monotonic():
                    self._run_due()
                callback = callbacks.get(fd)
                if callback is not None:
                    callback(mask)
            if due:
                self._run_due()

    def _pause_s(self) -> float:
        """How long epoll may wait: for ever, or not at all; for what is due the timer wakes it."""
        if not self._due:
            return -1.0
        when = self._due[0][0]
        if when - EARLY_S <= monotonic():
            return 0.0
        self._timer.arm(when - EARLY_S)
        return -1.0

    def _run_due(self) -> None:
        due = self._due
        while due:
            late = monotonic() - due[0][0]
            if late < 0:
                return
            self.lateness_max_s = max(self.lateness_max_s, late)
            _, _, callback, arguments = heappop(due)
            callback(*arguments)

    def _wake(self) -> None:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            return
