"""Opens raw non-blocking TCP sockets, past gevent's: a cohort does its own waiting."""

from __future__ import annotations

import _socket  # socket.socket becomes gevent's once the process is patched
import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.blast.settings import Address

# Refusals by this machine, not by the instance.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
_STARTED = frozenset({0, errno.EINPROGRESS})
_REASONS = {
    errno.ECONNREFUSED: "connect_refused",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}


def reason_of(number: int | None) -> str:
    """The word a failure is counted under."""
    return _REASONS.get(number or 0, "socket_error")


def connect(address: Address) -> _socket.socket:
    """A socket whose connection is under way: writable once it stands. Raises OSError when it was refused at once."""
    raw = _socket.socket(address.family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    raw.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    number = raw.connect_ex((address.ip, address.port))
    if number not in _STARTED:
        raw.close()
        raise OSError(number, errno.errorcode.get(number, "connect"))
    return raw


def pending_error(raw: _socket.socket) -> int:
    """The errno that a connection attempt ended with; 0 when it stands."""
    return raw.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
