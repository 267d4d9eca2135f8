"""A listening port and the connections that came in by it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.links import Link
from tests.darktime.blast.servers.loop import IN

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from tests.darktime.blast.servers.loop import Loop
    from tests.darktime.blast.servers.service import Service

BACKLOG = 4096
ACCEPTS_A_LOOK = 64


class Door:
    """Listens from the moment it is made.

    Attributes:
        links: who is connected, by descriptor.
        exporter: makes the reply to ``/metrics``; None: that is a path like any other.
        room: how many more may be accepted; None: any number.
    """

    def __init__(
        self, loop: Loop, service: Service, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.loop = loop
        self.service = service
        self.tls = tls
        self.exporter: Callable[[], bytes] | None = None
        self.links: dict[int, Link] = {}
        self.room: Callable[[], int] | None = None
        self._make = Link
        if tls is not None:
            from tests.darktime.blast.servers.tls import TlsLink

            self._make = TlsLink
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setblocking(False)
        self._listener.bind((host, port))
        self._listener.listen(BACKLOG)
        self.host, self.port = self._listener.getsockname()
        self._numbers = 0
        self._accepting = True
        loop.watch(self._listener.fileno(), IN, self._accept)

    def left(self, link: Link) -> None:
        """A link closes: forget it."""
        self.loop.forget(link.fd)
        del self.links[link.fd]
        self.service.closed(link)
        if not self._accepting and self.room is not None and self.room() > 0:
            self._accepting = True
            self.narrow(self.room())
            self.loop.watch(self._listener.fileno(), IN, self._accept)

    def narrow(self, backlog: int) -> None:
        """Let the kernel hold no more than ``backlog`` + 1 connections that are not accepted yet."""
        self._listener.listen(max(0, min(backlog, BACKLOG)))

    def _accept(self, _mask: int) -> None:
        for _ in range(ACCEPTS_A_LOOK):
            if self.room is not None:
                room = self.room()
                if room <= 0:
                    self._accepting = False
                    self.loop.forget(self._listener.fileno())
                    return
                self.narrow(room - 2)  # before the accept: it makes room for one that nobody may take
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self.service.counts["accept_errors"] += 1
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._numbers += 1
            self.service.counts["connections"] += 1
            link = self._make(self, sock, self._numbers)
            self.links[link.fd] = link
            self.loop.watch(link.fd, IN, link.ready)
            self.service.opened(link)
