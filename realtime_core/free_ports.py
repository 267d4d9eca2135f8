"""Ports of this machine that nobody holds, apart from those that the kernel gives to connections.

A port that ``bind`` to 0 gives is one of the latter: before a server of ours listens on it, it may be some connection's own
end. The range: net.ipv4.ip_local_port_range, see ip(7).
"""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

LOWEST: Final = 10_000  # below are those that servers are known by
_HIGHEST: Final = 65_535
_FOR_CONNECTIONS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES: Final = 50
_NOT_THIS_ONE: Final = (errno.EADDRINUSE, errno.EACCES)


def free_port(host: str = "127.0.0.1", *, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of ``host`` that nobody held a moment ago: of TCP, or of UDP by ``kind``.

    Another process may take it first; a child that can listen on port 0 and say what it got is the safer choice.

    Raises:
        OSError: ``host`` is no address of this machine.
    """
    return free_ports(1, host, kind=kind)[0]


def free_ports(count: int, host: str = "127.0.0.1", *, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """So many of them, all different."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = apart()
    with ExitStack() as last:
        return [_bound(last.enter_context(socket.socket(family, kind)), host, ports) for _ in range(count)]


def apart() -> list[int]:
    """All that no outgoing connection is given; where that is not known, or there are hardly any: none."""
    try:
        first, last = (int(port) for port in _FOR_CONNECTIONS.read_text().split())
    except (OSError, ValueError):
        return []
    ports = [*range(LOWEST, first), *range(max(LOWEST, last + 1), _HIGHEST + 1)]
    return ports if len(ports) >= _TRIES else []


def _bound(probe: socket.socket, host: str, ports: list[int]) -> int:
    for port in random.sample(ports, k=min(_TRIES, len(ports))):
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in _NOT_THIS_ONE:
                raise
        else:
            return port
    probe.bind((host, 0))
    given: int = probe.getsockname()[1]
    return given
