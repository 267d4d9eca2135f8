"""What a child does between fork and exec so that it cannot outlive the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1
# Loaded before any fork: loading a library between fork and exec may wait for ever on a lock that another thread held.
_LIBC = ctypes.CDLL(None, use_errno=True)


def check_thread() -> None:
    """Refuse any thread but the main one: the kernel sends the death signal when the THREAD that forked ends.

    Raises:
        ConfigurationError: called from another thread of the system. Greenlets of the main thread pass.
    """
    if threading.get_native_id() != os.getpid():
        raise ConfigurationError(
            f"a child process was to be started from the thread {threading.current_thread().name!r}; it would be ended "
            "together with that thread: start it from the main thread"
        )


def dies_with(parent_pid: int) -> Callable[[], None]:
    """The preexec function of a child: SIGTERM when ``parent_pid`` ends, however it ends.

    SIGTERM, not SIGKILL: a server such as nginx must take its workers with it. A stopped child (SIGSTOP) acts on it
    only once it is continued.
    """

    def before_exec() -> None:
        # Inherited: with SIGTERM ignored or blocked the death signal would never be acted upon.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        # A parent that ended between fork and prctl sends nothing any more.
        if os.getppid() != parent_pid:
            os._exit(1)

    return before_exec
