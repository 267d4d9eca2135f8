"""The ear of a relay that stands alone: TCP, for anybody's mirror; whoever is silent for too long is let go."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.relay.intake import CopySocket
from darktime.split.relay.requests import RequestReader

if TYPE_CHECKING:
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.intake import Reader
    from darktime.split.relay.requests import Door
    from darktime.wire.poller import Poller

_BACKLOG: Final = 1024
WITHIN_S: Final = 10.0  # a request may come so slowly
BETWEEN_S: Final = 300.0  # requests of one connection may be so far apart


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listen on HOST:PORT. Raises UsageError."""
    listener = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listener = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UsageError(f"--listen {host}:{port}: {error.strerror or error}; choose another address") from error
    return listener


class OpenEar(CopySocket):
    """A CopySocket for strangers' connections."""

    def __init__(self, listener: socket.socket, poller: Poller, door: Door) -> None:
        super().__init__(listener, poller, lambda: RequestReader(door))
        self.port: int = listener.getsockname()[1]
        self._heard: dict[int, float] = {}
        self.silent = 0

    def sweep(self, now: float) -> None:
        """Let go of who is silent within a request, or for long between two."""
        for fd, (_, reader) in list(self._peers.items()):
            within = isinstance(reader, RequestReader) and reader.within
            if now - self._heard.setdefault(fd, now) > (WITHIN_S if within else BETWEEN_S):
                self.silent += 1
                self._drop(fd)

    def _read(self, fd: int, sock: socket.socket, reader: Reader, mask: int) -> list[Copy]:
        self._heard[fd] = time.monotonic()
        return super()._read(fd, sock, reader, mask)

    def _drop(self, fd: int) -> None:
        self._heard.pop(fd, None)
        super()._drop(fd)
