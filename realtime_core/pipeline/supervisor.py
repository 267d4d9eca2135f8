"""The supervisor: worker processes, each started again when it dies or hangs, within bounds; all ended together.

It imports no gevent and holds no Redis: what can stop a worker does not stop it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

log = logging.getLogger(__name__)
MAX_WORKERS: Final = 128
RESTARTS: Final = 10
WITHIN_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
LOOK_S: Final = 0.1
# Beyond what the worker itself takes to drain: it has boxes and an account to close, and an interpreter to end.
GRACE_S: Final = 4.0
START_S: Final = 30.0
REFUSED: Final = 2
REDIS_VARIABLE: Final = "REALTIME_PIPELINE_REDIS"
INTERRUPTED: Final = 130


class Worker:
    """One place for a worker, and the process that has it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lives = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.pulse: socket.socket | None = None
        self.heard = 0.0
        self.beaten = False  # since this life began
        self.start_at = 0.0

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None) -> None:
        """Begin a life. What it says on the line to us is its pulse; when we die the line ends, and so does it.

        Raises:
            OSError: no process, memory or descriptor is left for it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [*argv, "--pulse", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    env=None if env is None else os.environ | env,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self.pulse = ours
        self.lives += 1
        self.beaten = False
        self.heard = time.monotonic()

    def hear(self) -> None:
        """Take in what came of its pulse."""
        if self.pulse is None:
            return
        with suppress(BlockingIOError):
            try:
                beats = self.pulse.recv(4096)
            except ConnectionError:
                beats = b""
            if beats:
                self.beaten, self.heard = True, time.monotonic()
            else:  # it has ended, or is about to
                self.pulse.close()
                self.pulse = None

    def signal(self, number: int) -> None:
        """Send a signal, if it is there."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, and whatever it has started: it leads a group of its own."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def gone(self) -> int | None:
        """The exit code of the process if it has ended; then the place is free."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is not None:
            self.kill()  # what it left behind
            self.process = None
            if self.pulse is not None:
                self.pulse.close()
                self.pulse = None
        return code


class Supervisor:
    """Runs workers until it is told to end, or until they die too often."""

    def __init__(
        self,
        argv_of: Callable[[int, int], Sequence[str]],
        workers: int,
        *,
        drain_s: float,
        pulse_timeout_s: float | None = None,
        restarts: int = RESTARTS,
        within_s: float = WITHIN_S,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Set up; nothing is started.

        Args:
            argv_of: the command of a worker, by its number and its life, both from 0.
            workers: how many.
            drain_s: what a worker takes at the most to end what it has in hand.
            pulse_timeout_s: a worker that gave no pulse for so long hangs: it is killed. None: it may.
            restarts: most of all workers together ...
            within_s: ... within so many seconds; beyond that all are ended.
            env: added to this process's environment for them: what must not stand in a list of processes.

        Raises:
            ConfigurationError: a number out of its limits.
        """
        if not 1 <= workers <= MAX_WORKERS or restarts < 0 or not within_s > 0:
            raise ConfigurationError(f"workers={workers}, restarts={restarts}: 1 to {MAX_WORKERS}, and at least 0")
        self._argv_of = argv_of
        self._workers = [Worker(number) for number in range(workers)]
        self._drain_s = drain_s
        self._pulse_timeout_s = pulse_timeout_s
        self._restarts = restarts
        self._within_s = within_s
        self._deaths: deque[float] = deque()
        self._env = env
        self._signals = 0
        self._exit_code = 0

    @property
    def restarted(self) -> int:
        """How many lives beyond the first there were."""
        return sum(max(0, worker.lives - 1) for worker in self._workers)

    def run(self) -> int:
        """Run them; the exit code: 0 ended when told, 1 died too often or had to be killed, 2 refused, 130 told twice."""
        before = {number: signal.signal(number, self._told) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._signals and not self._exit_code:
                self._turn()
            self._end()
        finally:
            for worker in self._workers:
                worker.kill()
                if worker.process is not None:
                    worker.process.wait()
                    worker.gone()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._exit_code

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _turn(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None and now >= worker.start_at:
                self._start(worker)
        self._listen()
        for worker in self._workers:
            self._look_after(worker)

    def _start(self, worker: Worker) -> None:
        argv = self._argv_of(worker.number, worker.lives)
        try:
            worker.start(argv, self._env)
        except OSError as error:
            self._died(worker, f"could not be started ({error})")

    def _listen(self) -> None:
        pulses = {worker.pulse: worker for worker in self._workers if worker.pulse is not None}
        readable, _, _ = select.select(list(pulses), [], [], LOOK_S)
        for pulse in readable:
            pulses[pulse].hear()

    def _look_after(self, worker: Worker) -> None:
        silent_s = time.monotonic() - worker.heard
        limit_s = self._pulse_timeout_s
        if limit_s is not None and not worker.beaten:
            limit_s = max(limit_s, START_S)  # it has to import first
        if worker.process is not None and limit_s is not None and silent_s > limit_s:
            log.error("worker %d gave no sign of life for %.1f s: it is killed", worker.number, silent_s)
            worker.kill()
            assert worker.process is not None
            worker.process.wait()
        code = worker.gone()
        if code is None:
            return
        if code == REFUSED:
            self._exit_code = REFUSED  # it said why; another life would say the same
            return
        self._died(worker, f"ended with {code}" if code else "ended with 0 though nobody had told it to")

    def _died(self, worker: Worker, how: str) -> None:
        """Its place is free: another takes it after a while, unless there were too many."""
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > self._within_s:
            self._deaths.popleft()
        if len(self._deaths) > self._restarts:
            log.error("workers died %d times within %g s: all are ended", len(self._deaths), self._within_s)
            self._exit_code = 1
            return
        pause_s = min(FIRST_PAUSE_S * 2 ** (len(self._deaths) - 1), LONGEST_PAUSE_S)
        log.warning("worker %d %s: another takes its place in %.1f s", worker.number, how, pause_s)
        worker.start_at = now + pause_s

    def _end(self) -> None:
        """Tell all to end; kill who does not; the second signal goes on to them."""
        told = self._signals
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        until = time.monotonic() + self._drain_s + GRACE_S
        while any(worker.process is not None for worker in self._workers):
            if self._signals >= max(2, told + 1):
                self._exit_code = INTERRUPTED
                return  # run() kills them
            if time.monotonic() > until:
                log.error(
                    "workers did not end within %.1f s: they are killed, their jobs come back", self._drain_s + GRACE_S
                )
                self._exit_code = self._exit_code or 1
                return
            self._listen()
            for worker in self._workers:
                worker.gone()


def worker_argv(words: Sequence[str]) -> list[str]:
    """The command of one worker process."""
    return [sys.executable, "-P", "-m", "realtime_core.pipeline", *words]


def pulse_through(descriptor: int) -> socket.socket:
    """The worker's end of the line. No copy of it may live on in what the worker starts.

    Raises:
        ConfigurationError: it is no socket.
    """
    os.set_inheritable(descriptor, False)
    try:
        line = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationError(f"--pulse {descriptor}: {error.strerror}: only a supervisor gives it") from error
    line.setblocking(False)
    return line
