"""Ends a relay that is told to end and whose loop does not hear it, as in a function of the user's that never returns.

A signal's handler only sets what the loop looks at. So a thread hears of the signal as well, by the descriptor that the
interpreter writes to before it runs any handler. What holds the interpreter's lock holds that thread up too: who started the
relay then kills it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from darktime.errors import ExitCode

if TYPE_CHECKING:
    from darktime.split.relay.heartbeat import Heartbeat

END_S: Final = 3.0  # a relay ends within two seconds; who started it kills it after five
ENDS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = 64  # read at a time


class Ending:
    """Made in the main thread before signals come. ``over`` once the loop has ended: then nothing is done.

    Nor is anything where the loop has heard of it and closes what it has: that may take long on a busy machine.
    """

    def __init__(self, heartbeat: Heartbeat, end_s: float = END_S) -> None:
        self._heartbeat = heartbeat
        self._end_s = end_s
        self._ended = threading.Event()
        self._told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, name="ending", daemon=True).start()

    def over(self) -> None:
        """The loop has ended by itself."""
        self._ended.set()

    def _wait(self) -> None:
        while not any(number in ENDS for number in os.read(self._told, _SIGNALS)):
            pass
        told = time.monotonic()
        if self._ended.wait(self._end_s):
            return
        if self._heartbeat.calling is None and self._heartbeat.turned > told:
            return
        said = f"the relay's loop did not end within {self._end_s:g} s of being told to: ended without it\n"
        os.write(2, said.encode())
        os._exit(ExitCode.ERROR)
