"""A connection to a dark instance, plain or by TLS: it is begun here, and ready when ``shake`` says so."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from darktime.errors import UsageError
from darktime.split.relay import reasons
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    from darktime.split.dark_side import Instance

_TIMED_OUT: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})


class TlsSocket(ssl.SSLSocket):
    """A non-blocking TLS socket that behaves as a plain one, once ``shake`` has given 0."""

    def shake(self) -> int:
        """Go on with the handshake: what to wait for next, 0 when it is done. Raises OSError when it failed."""
        try:
            self.do_handshake()
        except ssl.SSLWantReadError:
            return IN
        except ssl.SSLWantWriteError:
            return OUT
        return 0

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """What has come. To look without taking is not possible: what an idle connection has to say, nobody asked for."""
        try:
            return super().recv(buflen, flags & ~socket.MSG_PEEK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError(errno.EAGAIN, "no whole record") from error

    def send(self, data: Any, flags: int = 0) -> int:
        """How much was taken."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError(errno.EAGAIN, "no room for a record") from error

    def shutdown(self, how: int) -> None:
        """Close no half: below TLS that would be a cut, and TLS's own end refuses what is still on its way to be read."""


class Dialer:
    """Begins connections to one instance. Raises UsageError for a host that has no address."""

    def __init__(self, instance: Instance, context: ssl.SSLContext | None) -> None:
        self.instance = instance
        self._context = context if instance.tls else None
        if self._context is not None:
            self._context.sslsocket_class = TlsSocket
        self._family, self._address = _resolve(instance)

    def dial(self) -> socket.socket:
        """A connection that is under way. Raises OSError."""
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = sock.connect_ex(self._address)
        if number not in {0, errno.EINPROGRESS}:
            sock.close()
            raise OSError(number, "connect")
        return sock

    @property
    def tls(self) -> bool:
        """Whether a connection that stands must be secured."""
        return self._context is not None

    def secured(self, sock: socket.socket) -> TlsSocket:
        """The same connection, to speak TLS on: its handshake is to be made. It has the same descriptor."""
        assert self._context is not None
        made = self._context.wrap_socket(
            sock, server_hostname=self.instance.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        assert isinstance(made, TlsSocket)
        return made


def reason_of(error: OSError) -> str:
    """Why a copy was not answered."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return reasons.RELAY_FULL
    if error.errno in _TIMED_OUT:
        return reasons.DARK_TIMEOUT
    if error.errno == errno.ECONNREFUSED:
        return reasons.DARK_REFUSED
    return reasons.DARK_RESET


def _resolve(instance: Instance) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(instance.host, instance.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the dark instance {instance.at} has no address: {error}; write another host") from error
    family, _, _, _, address = found[0]
    return family, address
