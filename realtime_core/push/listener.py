"""The listening socket: takes the port, accepts, and pauses when no files or memory are left."""

from __future__ import annotations

import logging
import select
import socket
from typing import TYPE_CHECKING, Final

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
ACCEPTS_A_LOOK: Final = 64
SEND_BUFFER_BYTES: Final = 262_144
USER_TIMEOUT_MS: Final = 30_000  # a peer that acknowledges nothing for so long is gone


class Listener:
    """Listens from the moment it is made.

    Attributes:
        port: the port, also where any free one was asked for.
        pauses: how often accepting had to pause.
    """

    def __init__(self, host: str, port: int, epoll: select.epoll) -> None:
        """Take the port.

        Raises:
            ConfigurationError: it cannot be listened on.
        """
        self._socket = _listen(host, port)
        self._epoll = epoll
        self._open = True
        self.fd = self._socket.fileno()
        self.port: int = self._socket.getsockname()[1]
        self.pauses = 0
        epoll.register(self.fd, select.EPOLLIN)

    def accept(self) -> Iterator[tuple[socket.socket, str]]:
        """The sockets that wait, with their peers' addresses, at most a few dozen a call."""
        for _ in range(ACCEPTS_A_LOOK):
            try:
                accepted, address = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it has gone again
                continue
            except OSError as error:
                # Those who wait stay in the backlog; epoll would report them again and again meanwhile.
                self.pauses += 1
                self._open = False
                self._epoll.modify(self.fd, 0)
                log.warning("no more connections can be accepted now: %s", error)
                return
            accepted.setblocking(False)
            yield accepted, address[0]

    def resume(self) -> None:
        """Try again after a pause."""
        if not self._open:
            self._open = True
            self._epoll.modify(self.fd, select.EPOLLIN)

    def close(self) -> None:
        """Give the port back; may be repeated."""
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(
            f"{host} is no address to listen on ({error.strerror}): name one of this machine"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on ({error.strerror}): choose another port, or 0 for any"
        ) from error
    return listener
