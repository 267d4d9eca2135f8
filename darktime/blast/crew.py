"""The worker processes of a run, started below this one: as many as were asked for, ended with it."""

from __future__ import annotations

import os
import subprocess
import sys

END_S = 5.0


class Crew:
    """``dead`` gives the ids of those that have ended. ``stop`` ends all, and may be repeated."""

    def __init__(self, workers: int, host: str, port: int) -> None:
        argv = [sys.executable, "-m", "darktime.blast.worker", host, str(port), str(os.getpid())]
        self.processes = [subprocess.Popen(argv, stdin=subprocess.DEVNULL) for _ in range(workers)]

    def dead(self) -> list[int]:
        """The processes that are there no more."""
        return [process.pid for process in self.processes if process.poll() is not None]

    def stop(self) -> None:
        """Let them end by themselves for five seconds, then end them."""
        for process in self.processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
