"""A timer of the kernel that is a file descriptor: it wakes a poller within some 50 µs of the time it was set to.

The timeouts of ``epoll_wait`` and of event loops are whole milliseconds, which is late for a plan of 500 sends a second
or more. Python has ``os.timerfd_create`` from 3.13 on; this is the same system call through ctypes.
"""

from __future__ import annotations

import ctypes
import os

_CLOCK_MONOTONIC = 1
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
# A time of zero would switch the timer off instead of letting it expire at once.
_SHORTEST_NS = 1_000


class _Specification(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """One timer; ``fd`` becomes readable when it expires, until it is set again or ``seen``."""

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self.fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        self._specification = _Specification()
        self._by_reference = ctypes.byref(self._specification)

    def set(self, after_s: float) -> None:
        """Expire once, ``after_s`` seconds from now. A time that was set before is forgotten."""
        after_ns = max(int(after_s * 1e9), _SHORTEST_NS)
        self._specification.value_s, self._specification.value_ns = divmod(after_ns, 1_000_000_000)
        _libc.timerfd_settime(self.fd, 0, self._by_reference, None)

    def seen(self) -> None:
        """Take note that it expired."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return  # it was set again meanwhile

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
