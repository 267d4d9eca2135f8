"""A timer that epoll can wait on, exact to microseconds where epoll's own timeout is rounded up to a millisecond."""

from __future__ import annotations

import ctypes
import os

_MONOTONIC = 1
_ABSOLUTE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class TimerDescriptor:
    """Linux's timerfd, by ``time.monotonic()``."""

    def __init__(self) -> None:
        """Raises OSError where the kernel has none."""
        self.fd: int = _LIBC.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_int64 * 4)()  # interval s, ns; first s, ns
        self._armed = 0.0

    def arm(self, at: float) -> None:
        """Be readable from ``at`` (monotonic seconds) on; what was asked before is forgotten."""
        if at == self._armed:
            return
        self._armed = at
        seconds = int(at)
        self._spec[2] = seconds
        self._spec[3] = max(1, int((at - seconds) * 1e9))
        _LIBC.timerfd_settime(self.fd, _ABSOLUTE, self._spec, None)

    def clear(self) -> None:
        """It has been seen: be silent until it is armed anew."""
        self._armed = 0.0
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
