"""The connections to one dark instance: begun, kept for the next copy, watched, closed; and when what they brought had come."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from darktime.split.relay.dial import TlsSocket
from darktime.split.relay.link import Link
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    from darktime.split.relay.dial import Dialer
    from darktime.split.relay.later import Later
    from darktime.wire.poller import Poller

_READ_BYTES: Final = 262_144
_TLS_BYTES: Final = 16_384  # a record
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("@ll")
_STAMP_BYTES: Final = socket.CMSG_SPACE(_STAMP.size)


class Pool:
    """``links``: all, by descriptor. Each wakes the relay by itself until a whole reply of it has brought the kernel's stamp.

    From then on it is read later (see ``Later``): a stamp says when a reply came, however late it is read. Not from within a
    reply: the rest of a long one would wait, piece by piece.
    """

    def __init__(self, dialer: Dialer, poller: Poller, later: Later | None, *, connections: int, idle_s: float) -> None:
        self._dialer = dialer
        self._poller = poller
        self._later = later
        self._connections = connections
        self._idle_s = idle_s
        self._idle: list[Link] = []
        self._room = memoryview(bytearray(_READ_BYTES))
        self.links: dict[int, Link] = {}

    @property
    def idle(self) -> bool:
        """Whether one is kept."""
        return bool(self._idle)

    def connect(self) -> Link:
        """A new one, under way. Raises OSError."""
        link = Link(self._dialer.dial())
        link.shaking = self._dialer.tls
        if self._later is not None and not link.shaking:
            try:
                link.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                link.stamped = True
            except OSError:
                pass  # then it is read as it comes
        self.links[link.fd] = link
        self.watch(link, OUT)
        return link

    def kept(self) -> Link | None:
        """One that is kept and still stands, to be used."""
        while self._idle:
            link = self._idle[-1]
            try:
                link.sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return self._idle.pop()
            except OSError:
                pass
            self.close(link)  # it has ended, or says something that nobody asked for
        return None

    def rest(self, link: Link, now: float) -> None:
        """Keep it for the next copy, where there is room."""
        if len(self._idle) >= self._connections:
            self.close(link)
            return
        self.read_later(link)
        link.rest(now + self._idle_s)
        self._idle.append(link)

    def sweep(self, now: float) -> None:
        """Close what nobody has used for long."""
        while self._idle and now > self._idle[0].deadline:
            self.close(self._idle[0])

    def watch(self, link: Link, mask: int) -> None:
        """Wait for that."""
        wanted = mask & ~IN if link.later else mask
        if wanted == link.watched:
            return
        if not link.watched:
            self._poller.register(link.fd, wanted)
        elif wanted:
            self._poller.modify(link.fd, wanted)
        else:
            self._poller.unregister(link.fd)
        link.watched = wanted

    def ready_to_send(self, link: Link) -> bool:
        """Whether a connection that was under way stands now. Raises OSError where it failed."""
        number = link.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, "connect")
        link.stands = not link.shaking or self._shake(link)
        return link.stands

    def receive(self, link: Link) -> bytes:
        """What has come; ``link.lag_s`` is how long it lay here. Raises OSError."""
        link.lag_s = 0.0
        if not link.stamped:
            if link.shaking or isinstance(link.sock, TlsSocket):
                return link.sock.recv(_TLS_BYTES)
            return bytes(self._room[: link.sock.recv_into(self._room)])
        count, told, _, _ = link.sock.recvmsg_into((self._room,), _STAMP_BYTES)
        for level, kind, value in told:
            if kind == _SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(value) == _STAMP.size:
                seconds, ns = _STAMP.unpack(value)
                link.lag_s = max(time.time() - seconds - ns / 1e9, 0.0)
                link.tells = True
        return bytes(self._room[:count])

    def close(self, link: Link) -> bool:
        """Close it; False: it was."""
        if self.links.pop(link.fd, None) is None:
            return False
        if link in self._idle:
            self._idle.remove(link)
        if link.sock.fileno() >= 0:  # one that TLS refused is closed already
            if link.watched:
                self._poller.unregister(link.fd)
            if link.later and self._later is not None:
                self._later.poller.unregister(link.fd)
        link.sock.close()
        return True

    def read_later(self, link: Link) -> None:
        """A reply is whole, or is a stream: from now on it is read later, where the kernel says when what it reads had come."""
        if not link.tells or link.later or self._later is None:
            return
        link.later = True
        self._later.poller.register(link.fd, IN)
        self.watch(link, link.watched)

    def _shake(self, link: Link) -> bool:
        """Go on with the TLS handshake; whether it is done."""
        if not isinstance(link.sock, TlsSocket):
            link.sock = self._dialer.secured(link.sock)
        awaited = link.sock.shake()
        if awaited:
            self.watch(link, awaited)
            return False
        link.shaking = False
        return True
