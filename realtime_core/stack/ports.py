"""TCP ports of this machine: which is free, and who holds one that is not."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from realtime_core.errors import ConfigurationError

_LISTEN = "0A"
_HIGHEST = 65535


def require_free(host: str, port: int, name: str) -> None:
    """Check that ``name`` will be able to listen on ``host:port``.

    Raises:
        ConfigurationError: the port is taken (the message says by whom, where /proc tells), or may not be listened on.
    """
    if not 0 <= port <= _HIGHEST:
        raise ConfigurationError(f"{name} cannot listen on {host}:{port}: a port is at most {_HIGHEST}, choose another")
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what only lingers is no holder
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(f"{name} cannot listen on {host}:{port}: {_why(error, port)}") from error


def port_holder(port: int) -> str | None:
    """Who listens on a TCP port of this machine, as ``nginx (pid 123)``; None where /proc does not tell."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has ended, or is somebody else's
    return None


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        return f"the port is taken{f' by {holder}' if holder else ''}: end that process or choose another port"
    if error.errno == errno.EACCES:
        return "this user may not listen there: choose a port from 1024 on"
    return f"{error.strerror}: choose an address of this machine"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
