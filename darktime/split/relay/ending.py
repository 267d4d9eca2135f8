"""Ends a relay that is told to end and whose loop does not hear it, as in a function of the user's that never returns.

A signal's handler only sets what the loop looks at. So a thread hears of the signal as well, by the descriptor that the
interpreter writes to before it runs any handler. What holds the interpreter's lock holds that thread up too: who started the
relay then kills it.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

from darktime.errors import ExitCode

END_S: Final = 3.0  # a relay ends within two seconds; who started it kills it after five
ENDS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = 64  # read at a time


class Ending:
    """Made in the main thread before signals come. ``over`` once the loop has ended: then nothing is done."""

    def __init__(self, end_s: float = END_S) -> None:
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
        if self._ended.wait(self._end_s):
            return
        said = f"the relay's loop did not end within {self._end_s:g} s of being told to: ended without it\n"
        os.write(2, said.encode())
        os._exit(ExitCode.ERROR)
