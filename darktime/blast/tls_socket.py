"""A raw non-blocking socket that speaks TLS: it looks like a plain one, so that the plain way pays nothing for it.

All connections of a process share two buffers between OpenSSL and the kernel: every call empties what it filled, so
that a connection owns none (of its own they would keep the size of its largest read). What of a record has come stays
in OpenSSL, what must still go with the connection.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import os
import ssl
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Never

from darktime.blast.tls import context_of, server_name

if TYPE_CHECKING:
    from darktime.blast.settings import Address

# Failed handshakes and records have no errno of their own; this one never comes from a TCP socket.
TLS_FAILED = errno.EPROTO
_READ_BYTES = 65_536
_receive, _send = _socket.socket.recv, _socket.socket.send


class _Buffers:
    """``into``: what came from the kernel; ``out``: what goes there. Both are empty between two calls."""

    def __init__(self) -> None:
        self.into = ssl.MemoryBIO()
        self.out = ssl.MemoryBIO()


@lru_cache(maxsize=1)
def _buffers(_process: int) -> _Buffers:
    return _Buffers()


def give_back_memory() -> None:
    """Once many handshakes are over: what they needed, a third of the whole, lies in pieces between what is kept."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every C library has it
    if trim is not None:
        trim(0)


class TlsSocket(_socket.socket):
    """``recv``, ``send`` and ``close`` as of a plain socket, once ``shake`` has given True.

    What ends without TLS's own end was cut off: it is a reset, never an end. Errors are OSErrors, of the number
    TLS_FAILED where it is TLS that failed.
    """

    __slots__ = ("_ended", "_engine", "_held", "_into", "_out", "_unsent", "reached")

    def __init__(self, family: int, kind: int, address: Address) -> None:
        super().__init__(family, kind)
        buffers = _buffers(os.getpid())
        self._into, self._out = buffers.into, buffers.out
        name = server_name(address)
        self._engine: Any = context_of(address).wrap_bio(self._into, self._out, server_hostname=name)
        self._ended = False
        self._held = False  # the last byte of what was sent is encrypted, but not counted as taken
        self._unsent = b""  # encrypted, and not taken by the kernel yet
        self.reached = False  # the connection stands; only the handshake may be missing

    def shake(self) -> bool:
        """Go on with the handshake, when the socket is ready; whether it is done. Raises OSError when it failed."""
        if self.reached:
            received = _receive(self, _READ_BYTES)
            if not received:
                raise OSError(TLS_FAILED, "hung up within the TLS handshake")
            self._into.write(received)
        self.reached = True
        try:
            self._engine.do_handshake()
        except ssl.SSLWantReadError:
            self._ship()
            return False
        except ssl.SSLError as error:
            self._fail(error)
        self._ship()
        if self._into.pending and (self._decrypted() or self._ended):
            raise OSError(TLS_FAILED, "spoke before it was asked")
        return True

    def recv(self, most: int, flags: int = 0) -> bytes:
        """What has arrived; nothing after TLS's own end. Raises BlockingIOError within a record."""
        received = _receive(self, most, flags)
        if self._ended:
            return b""
        if not received:
            raise ConnectionResetError(errno.ECONNRESET, "cut off without the end of TLS")
        self._into.write(received)
        text = self._decrypted()
        if not text and not self._ended:
            raise BlockingIOError(errno.EAGAIN, "no whole record yet")
        return text

    def send(self, data: Any, flags: int = 0) -> int:
        """How much of it was taken.

        All is encrypted at once. While the kernel has no room for all of that, the last byte counts as not taken: who
        sends it again has the rest sent.
        """
        size = len(data)
        if not self._held:
            self._encrypt(data, size)
        elif size != 1:
            raise OSError(errno.EPIPE, "what was sent before is not through")
        self._ship(flags)
        if not self._unsent:
            self._held = False
            return size
        if self._held:
            raise BlockingIOError(errno.EAGAIN, "no room for the rest of a record")
        self._held = True
        return size - 1

    def close(self) -> None:
        """Say TLS's end, if it can be said at once, and close."""
        if self._engine is not None and self.reached:
            with suppress(OSError, ValueError):  # the peer has not said its own yet; or it was no TLS at all
                self._engine.unwrap()
            with suppress(OSError):
                self._ship()
            self._into.read()
        self._engine = None
        super().close()

    def _encrypt(self, data: bytes, size: int) -> None:
        try:
            taken = self._engine.write(data)
            if taken < size:  # a record at a time
                rest = memoryview(data)
                while taken < size:
                    taken += self._engine.write(rest[taken:])
        except ssl.SSLError as error:
            self._fail(error)

    def _decrypted(self) -> bytes:
        """All whole records of what came. Raises OSError for one that is none, or that says what went wrong."""
        read, into = self._engine.read, self._into
        text = b""
        try:
            text = last = read(_READ_BYTES)
            while last and into.pending:  # a record at a time
                text += (last := read(_READ_BYTES))
            if not last:
                self._end()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
        if self._out.pending:  # an answer of the protocol's own
            self._ship()
        return text

    def _end(self) -> None:
        """TLS's own end has come. A peer may leave its connection open all the same: the end is to be seen."""
        self._ended = True
        self._into.read()
        with suppress(OSError):
            self.shutdown(_socket.SHUT_RD)

    def _ship(self, flags: int = 0) -> None:
        waiting = self._out.read()
        if self._unsent:
            waiting = self._unsent + waiting if waiting else self._unsent
        if not waiting:
            return
        try:
            sent = _send(self, waiting, flags)
        except BlockingIOError:
            sent = 0
        self._unsent = waiting[sent:]

    def _fail(self, error: ssl.SSLError) -> Never:
        """Leave the shared buffers empty, and tell the peer why."""
        self._into.read()
        with suppress(OSError):
            self._ship()
        raise OSError(TLS_FAILED, error.reason or str(error)) from error
