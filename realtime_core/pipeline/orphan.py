"""The end of a worker whose supervisor has gone: nobody is left to kill it, should it not end by itself.

A thread of the system waits for the end of the line to the supervisor, and then as long as the supervisor would. It needs the
interpreter for that, as the renewal does: code that never lets go of the GIL keeps it from its work.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gevent import monkey

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS: Final = b"the supervisor has gone and this worker did not end: it is killed, its jobs come back\n"


def end_with_supervisor(line: int, within_s: float) -> None:
    """Kill this process, and what it started, ``within_s`` after the other end of ``line`` has been closed.

    That the work is to end is not this thread's to say: whoever sends on the line notices it.

    Raises:
        ConfigurationError: there is no such descriptor.
    """
    try:
        mine = os.dup(line)  # the line itself is closed when the work is done, which is too early
    except OSError as error:
        raise ConfigurationError(f"--pulse {line}: {error.strerror}: only a supervisor gives it") from error
    _original("_thread", "start_new_thread")(_run, (mine, within_s))


def _run(line: int, within_s: float) -> None:
    # Nothing that gevent replaced may be used here: it would make a loop of its own in this thread.
    poll = _original("select", "poll")()
    poll.register(line, select.POLLIN)
    poll.poll()  # for as long as there is a supervisor, which sends nothing
    _original("time", "sleep")(within_s)
    with suppress(OSError):
        os.write(2, WORDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _original(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = monkey.get_original(module, name)
    return found
