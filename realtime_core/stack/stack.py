"""A set of child processes that are started one after another and ended together, whatever happens."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from realtime_core.stack.folders import private_folder, temporary_folder
from realtime_core.stack.ports import require_free
from realtime_core.stack.service import Service, ready_line, start
from realtime_core.stack.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """What a stack can hold: a service, or something that runs one."""

    name: str

    def kill(self) -> None:
        """SIGKILL at once."""

    def stop(self, timeout_s: float = 5.0) -> int:
        """End it and reap it; may be repeated."""


Child = TypeVar("Child", bound=Stoppable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """An embedded push server that runs: publish to ``url/pub?id=…``, read from ``url/ev/…``."""

    service: Service
    host: str
    port: int

    @property
    def url(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self.host}:{self.port}"


class Stack:
    """Starts children, and ends all of them in reverse order on leaving.

    Use it from the main thread, as a context manager: the kernel ends the children once the thread that started
    them has ended.

    Attributes:
        folder: private (0700); logs and data. Without a name it is a temporary one, which goes when the stack stops.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Make or take the folder.

        Raises:
            ConfigurationError: it cannot be made or written, or others may look into it.
        """
        self._temporary = folder is None
        self.folder = temporary_folder() if folder is None else private_folder(folder)
        self._children: list[Stoppable] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def adopt(self, child: Child) -> Child:
        """End this child too, before those that were there already."""
        self._children.append(child)
        return child

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: Callable[[], bool] | str,
        listens: tuple[str, int] | None = None,
        timeout_s: float = 10.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Service:
        """Start a child as :func:`service.start` does, with its log in the stack's folder.

        Args:
            name: what messages and its log are called.
            argv: the command, no shell.
            ready: a question, or the beginning of the line by which the child says that it is ready.
            listens: host and port that it must be able to listen on; port 0 is always free.
            timeout_s: how long it may take to become ready.
            env: added to this process's environment.
            cwd: the child's working directory.

        Raises:
            ConfigurationError: the port is taken.
            StartFailed: it could not be run, ended, or was not ready in time.
        """
        if listens is not None:
            require_free(*listens, name)
        return start(
            name,
            argv,
            folder=self.folder,
            ready=ready,
            timeout_s=timeout_s,
            env=env,
            cwd=cwd,
            started=self.adopt,
        )

    def valkey(
        self,
        *,
        name: str = "valkey",
        listen: tuple[str, int] | None = None,
        binary: Path | None = None,
        options: Sequence[str] = (),
    ) -> Valkey:
        """Start an embedded Valkey in the stack's folder; what can be said is said at :class:`Valkey`."""
        return self.adopt(Valkey(self.folder, name=name, listen=listen, binary=binary, options=options))

    def push(
        self,
        name: str,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        ledger: str | None = None,
        ledger_name: str | None = None,
        hop_in: str | None = None,
        hop_out: str | None = None,
        owner: str | None = None,
        options: Sequence[str] = (),
    ) -> Push:
        """Start an embedded push server and learn the port it took.

        Args:
            name: what messages and its log are called.
            listen: host and port; port 0 takes a free one.
            ledger: URL of the Redis it counts into.
            ledger_name: the ledger's name.
            hop_in: the hop on which it counts what it takes in.
            hop_out: the hop on which it counts what it writes to subscribers.
            owner: what the ledger calls this server's life.
            options: added to its command line.

        Raises:
            ConfigurationError: the port is taken.
            StartFailed: it ended, or did not say that it listens.
        """
        host, port = listen
        flags = {
            "--ledger": ledger,
            "--ledger-name": ledger_name,
            "--hop-in": hop_in,
            "--hop-out": hop_out,
            "--owner": owner,
        }
        argv = [sys.executable, "-P", "-m", "realtime_core.push", "--listen", _address(host, port)]
        argv += [word for flag, value in flags.items() if value is not None for word in (flag, value)]
        prefix = "listening on "
        service = self.start(name, [*argv, *options], ready=prefix, listens=listen)
        host, _, told = ready_line(service, prefix).rpartition(":")
        return Push(service=service, host=host, port=int(told))

    def stop(self, timeout_s: float = 5.0) -> None:
        """End every child, the last one first, each with up to ``timeout_s`` of grace, whatever fails. May be repeated.

        A Ctrl-C meanwhile ends the grace: everything gets SIGKILL at once, is reaped, and KeyboardInterrupt is raised.

        Raises:
            Exception: the first failure, after all else has been ended.
        """
        failures: list[Exception] = []
        with self._hurried_by_interrupt():
            while self._children:
                child = self._children.pop()
                try:
                    child.stop(timeout_s)
                except Exception as error:  # noqa: BLE001 - the others must be ended all the same
                    log.warning("%s was not ended as it should be: %s", child.name, error)
                    failures.append(error)
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)
        if failures:
            raise failures[0]

    @contextmanager
    def _hurried_by_interrupt(self) -> Iterator[None]:
        hurried = False

        def hurry(_number: int, _frame: FrameType | None) -> None:
            nonlocal hurried
            hurried = True
            for child in everyone:
                child.kill()

        everyone = list(self._children)
        before = signal.getsignal(signal.SIGINT)
        if before is None or before == signal.SIG_IGN:  # not Python's to replace, or Ctrl-C is meant to do nothing
            yield
            return
        signal.signal(signal.SIGINT, hurry)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if hurried:
            raise KeyboardInterrupt


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
