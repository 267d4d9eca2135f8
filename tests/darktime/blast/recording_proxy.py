"""Forwards connections, and keeps what went over each with the time of every piece: what an independent client is read from."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 65_536


@dataclass
class Recorded:
    """One connection: (monotonic s, bytes) of what was asked and of what was replied, in order."""

    asked: list[tuple[float, bytes]] = field(default_factory=list)
    replied: list[tuple[float, bytes]] = field(default_factory=list)


@contextmanager
def recording(host: str, port: int) -> Iterator[tuple[str, list[Recorded]]]:
    """An address that leads to ``host``:``port``, and the connections so far; all are ended after it."""
    connections: list[Recorded] = []
    sockets: list[socket.socket] = []

    def forward(source: socket.socket, target: socket.socket, kept: list[tuple[float, bytes]]) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                kept.append((time.monotonic(), piece))
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, port))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.extend((near, far))
            connections.append(Recorded())
            threads = ((near, far, connections[-1].asked), (far, near, connections[-1].replied))
            for thread in threads:
                threading.Thread(target=forward, args=thread, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", connections
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for one in sockets:
                one.close()
