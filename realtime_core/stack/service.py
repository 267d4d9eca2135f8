"""One child process: how it is started, asked whether it is ready, and ended together with its process group."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError, RealtimeError, StartFailed
from realtime_core.stack.death import check_thread, dies_with
from realtime_core.stack.interrupts import held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_S = 0.01
KILL_LIMIT_S = 5.0  # after SIGKILL only the kernel can hold a process up
TAIL_BYTES = 64 * 1024
LINE_SCAN_BYTES = 1024 * 1024


class Service:
    """A child in a session of its own, with SIGTERM as its death signal and its output in a file.

    Ctrl-C at a terminal does not reach it; it is ended by :meth:`stop`, and by the kernel once the thread that started
    it has ended. What leaves the child's process group on purpose (a daemon) is out of reach of both.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.name = name
        self.pid = process.pid
        self.log = log
        self._process = process
        self._log_start = log_start

    def alive(self) -> bool:
        """Whether the process runs. One that has ended is reaped by :meth:`stop`: until then its id stays its own."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:  # reaped by an event loop that watches all children
            self._process.poll()
            return False

    def tail(self, lines: int = 20) -> str:
        """The last lines that the child wrote in this life, at most 64 KiB."""
        text = _read(self.log, max(self._log_start, self.log.stat().st_size - TAIL_BYTES), TAIL_BYTES)
        return "\n".join(text.splitlines()[-lines:])

    def line_after(self, prefix: str) -> str | None:
        """The rest of the first whole line of this life that begins with ``prefix``, looked for in its first MiB."""
        for line in _read(self.log, self._log_start, LINE_SCAN_BYTES).splitlines(keepends=True):
            if line.startswith(prefix) and line.endswith("\n"):
                return line[len(prefix) :].strip()
        return None

    def kill(self) -> None:
        """SIGKILL to the whole process group at once; :meth:`stop` reaps it."""
        self._signal_group(signal.SIGKILL)

    def stop(self, timeout_s: float = 5.0) -> int:
        """SIGCONT, SIGTERM, up to ``timeout_s`` of grace, then SIGKILL to the process group; reap it. May be repeated.

        Returns:
            The exit status, negative for the signal that ended it.

        Raises:
            RealtimeError: it still runs seconds after SIGKILL.
            KeyboardInterrupt: passed on, once all is killed and reaped.
        """
        if self._process.returncode is None:
            try:
                self._signal_group(signal.SIGCONT)  # a stopped process would not act on SIGTERM
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)
                _wait(lambda: not self.alive(), timeout_s)
            finally:
                self._signal_group(signal.SIGKILL)  # what outlived the leader, or the leader itself
                self._reap()
        return self._process.returncode

    def _reap(self) -> None:
        gone = _wait(lambda: not self.alive() and not _others(self.pid), KILL_LIMIT_S)
        if not gone and self.alive():
            raise RealtimeError(
                f"{self.name} (pid {self.pid}) still runs {KILL_LIMIT_S:.0f} s after SIGKILL: the kernel holds it "
                "(a hung disk?); its port and files stay taken until it ends"
            )
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_LIMIT_S)

    def _signal_group(self, number: signal.Signals) -> None:
        # Unreaped, the leader's id can be nobody else's, so the group is ours.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def start(
    name: str,
    argv: Sequence[str],
    *,
    folder: Path,
    ready: Callable[[], bool] | str,
    timeout_s: float = 10.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    started: Callable[[Service], object] | None = None,
) -> Service:
    """Start a child and wait until it is ready. Call it from the main thread (see :func:`death.check_thread`).

    Args:
        name: what messages call it; its output is added to ``folder/NAME.log``.
        argv: the command, no shell.
        folder: where its log goes; it must exist.
        ready: asked again and again until it says True, or the beginning of the line by which the child says so itself.
        timeout_s: how long it may take to become ready.
        env: added to this process's environment.
        cwd: the child's working directory.
        started: told of the child before anything can interrupt, so that there is no moment when nobody would end it.

    Raises:
        StartFailed: it cannot be run, ended, or was not ready in time; it has been ended, its last lines are told.
        ConfigurationError: its log cannot be written, or this is not the main thread.
    """
    check_thread()
    log = folder / f"{name}.log"
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the log of {name}, {log}, cannot be written ({error.strerror})") from error
    service: Service | None = None
    try:
        with held_back():
            service = _spawn(name, argv, log, output, env=env, cwd=cwd)
            if started is not None:
                started(service)
        _wait_ready(service, ready, timeout_s)
    except BaseException:  # Ctrl-C too must not leave it behind
        if service is not None:
            service.stop()
        raise
    finally:
        os.close(output)
    return service


def _spawn(
    name: str, argv: Sequence[str], log: Path, output: int, *, env: Mapping[str, str] | None, cwd: Path | None
) -> Service:
    try:
        log_start = os.fstat(output).st_size
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),  # noqa: PLW1509 - it only calls the kernel, see there
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartFailed(f"{name} cannot be run: {argv[0]} ({error})") from error
    return Service(name, process, log, log_start)


def ready_line(service: Service, prefix: str, timeout_s: float = 10.0) -> str:
    """Wait for the line by which a child says that it is ready, as ``listening on 127.0.0.1:4711``.

    Returns:
        The rest of the line after ``prefix``.

    Raises:
        StartFailed: it ended, or wrote no such line in time; it is left as it is.
    """
    _wait_ready(service, prefix, timeout_s)
    return service.line_after(prefix) or ""


def _wait_ready(service: Service, ready: Callable[[], bool] | str, timeout_s: float) -> None:
    answers = False

    def decided() -> bool:
        nonlocal answers
        answered = service.line_after(ready) is not None if isinstance(ready, str) else ready()
        # Alive last: what answers on the port of a child that has ended is somebody else's server.
        ended = not service.alive()
        answers = answered and not ended
        return ended or answers

    _wait(decided, timeout_s)
    if answers:
        return
    if service.alive():
        awaited = f"print {ready!r}" if isinstance(ready, str) else "answer"
        raise StartFailed(
            f"{service.name} did not {awaited} within {timeout_s:g} s (its log: {service.log})", log_tail=service.tail()
        )
    raise StartFailed(f"{service.name} ended before it was ready (its log: {service.log})", log_tail=service.tail())


def _wait(true: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def _others(group: int) -> bool:
    """Whether a process of the group runs besides its leader; the dead that nobody has reaped do not count."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text(errors="replace").partition(" (")
        except OSError:
            continue
        state, _, pgrp = rest.rpartition(") ")[2].split()[:3]
        if int(pgrp) == group and int(pid) != group and state not in "ZX":
            return True
    return False


def _read(path: Path, offset: int, limit: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(limit).decode("utf-8", "replace")
