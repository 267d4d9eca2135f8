"""Opens raw non-blocking sockets, plain or TLS, past gevent's: a cohort does its own waiting."""

from __future__ import annotations

import _socket  # socket.socket becomes gevent's once the process is patched
import errno
import os
from typing import TYPE_CHECKING

from darktime.blast.tls_socket import TLS_FAILED, TlsSocket

if TYPE_CHECKING:
    from darktime.blast.settings import Address

# Refusals by this machine, not by the instance.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
_STARTED = frozenset({0, errno.EINPROGRESS})
# Python names it from 3.12 on. The port is drawn when the connection is made, so that it must differ only from those to
# the same destination.
_IP_BIND_ADDRESS_NO_PORT = 24
_REASONS = {
    errno.ECONNREFUSED: "connect_refused",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EMFILE: "ours_open_files",
    errno.ENFILE: "ours_open_files",
    errno.EADDRNOTAVAIL: "ours_ports",
    errno.ENOBUFS: "ours_memory",
    errno.ENOMEM: "ours_memory",
    TLS_FAILED: "tls",
}


def reason_of(number: int | None) -> str:
    """The word a failure is counted under."""
    return _REASONS.get(number or 0, "socket_error")


def connect(address: Address, source_ip: str | None = None, *, receive_buffer: int | None = None) -> _socket.socket:
    """A socket whose connection is under way: ask ``stands`` when it is ready. Raises OSError when refused at once.

    ``source_ip``: the address of this machine that it comes from. ``receive_buffer``: bytes; a small one makes a slow
    reader's window small.
    """
    kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
    raw = TlsSocket(address.family, kind, address) if address.tls else _socket.socket(address.family, kind)
    try:
        raw.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            raw.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, receive_buffer)
        if source_ip is not None:
            raw.setsockopt(_socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            raw.bind((source_ip, 0))
        number = raw.connect_ex((address.ip, address.port))
    except OSError:
        raw.close()
        raise
    if number not in _STARTED:
        raw.close()
        raise OSError(number, errno.errorcode.get(number, "connect"))
    return raw


def stands(raw: _socket.socket) -> bool:
    """Whether it can be spoken on; False while TLS still shakes hands: watch for what arrives, and ask again.

    Raises OSError when the attempt came to nothing.
    """
    number = raw.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))
    return not isinstance(raw, TlsSocket) or raw.shake()


def late_reason(raw: _socket.socket) -> str:
    """The word for a connection that did not stand in time."""
    return "tls_timeout" if isinstance(raw, TlsSocket) and raw.reached else "connect_timeout"


def sources_for(address: Address, sockets: int, first: int = 0) -> tuple[str, ...]:
    """Addresses of this machine for so many sockets to one destination (28,232 ports each); () leaves it to the kernel.

    Only loopback has addresses to spare, 127.0.0.0/8; ``first`` lets every worker use its own.
    """
    if not address.loopback or address.family != _socket.AF_INET or sockets <= PORTS_AN_ADDRESS:
        return ()
    wanted = -(-sockets // PORTS_AN_ADDRESS)
    return tuple(f"127.0.{(first + at) // 250 + 1}.{(first + at) % 250 + 1}" for at in range(wanted))


# Of the usual 28,232 ephemeral ports some are in use or still closing.
PORTS_AN_ADDRESS = 20_000
