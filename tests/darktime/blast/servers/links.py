"""One connection: its requests are served one after another, its replies go out in that order."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING

from tests.darktime.blast.servers.loop import IN, OUT
from tests.darktime.blast.servers.replies import BAD_REQUEST
from tests.darktime.blast.servers.requests import Head, RequestError, take

if TYPE_CHECKING:
    from tests.darktime.blast.servers.door import Door

RECEIVE_BYTES = 65_536
AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_RESET = struct.pack("ii", 1, 0)


class Link:
    """``waiting``: a request has been given to the service and is not answered yet; what follows it waits here.

    Pipelined requests are taken one at a time: a service never holds two of one connection.
    """

    __slots__ = (
        "_advancing",
        "_buffer",
        "_mask",
        "closed",
        "closing",
        "door",
        "fd",
        "last",
        "number",
        "out",
        "served",
        "sock",
        "state",
        "streaming",
        "waiting",
    )

    def __init__(self, door: Door, sock: socket.socket, number: int) -> None:
        self.door = door
        self.sock = sock
        self.fd = sock.fileno()
        self.number = number
        self.out = bytearray()  # what the socket did not take yet
        self.waiting = False
        self.last = False  # the request asked for the connection to end with it
        self.closing = False  # once all is sent
        self.closed = False
        self.served = 0  # requests given to the service
        self.streaming = False  # an answer has begun and not ended
        self.state: object = None  # the service's own
        self._buffer = b""
        self._advancing = False
        self._mask = IN

    def ready(self, mask: int) -> None:
        """The socket can be read or written."""
        if mask & OUT and self.out:
            self.flush()
        if mask & ~OUT and not self.closed:
            self._read()

    def answer(self, status: int, payload: bytes, *, keep: bool = True) -> None:
        """Answer the request that waits; without ``keep`` the connection ends with it."""
        counts = self.door.service.counts
        if self.closed:
            counts["abandoned"] += 1
            return
        counts[f"status_{status}"] += 1
        self.waiting = False
        if self.last or not keep:
            self.closing = True
        self.send(payload)
        if self._buffer and not self._advancing and not self.closed:
            self._advance()

    def begin(self, status: int, payload: bytes) -> None:
        """Answer with the beginning of a stream; ``send`` adds to it, ``finish`` or ``end`` ends it."""
        self.door.service.counts[f"status_{status}"] += 1
        self.waiting = False
        self.streaming = True
        self.send(payload)

    def finish(self, payload: bytes) -> None:
        """The last bytes of a stream that ends by itself; the peer may ask again unless it said otherwise."""
        self.streaming = False
        if self.last:
            self.closing = True
        self.send(payload)
        if self._buffer and not self.closed:
            self._advance()

    def send(self, payload: bytes) -> None:
        """Write bytes; what the socket does not take waits without limit."""
        if self.closed:
            return
        if self.out:
            self.out += payload
            return
        try:
            sent = self.sock.send(payload) if payload else 0
        except AGAIN:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(payload):
            self.out += payload[sent:]
            self._watch(IN | OUT)
        elif self.closing:
            self.close()

    def end(self) -> None:
        """Close once all is sent."""
        self.closing = True
        if not self.out:
            self.close()

    def reset(self) -> None:
        """Close the way a machine does that has crashed: RST."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()

    def close(self) -> None:
        """Close now. May be repeated."""
        if self.closed:
            return
        self.closed = True
        self.door.left(self)
        self.sock.close()

    def _read(self) -> None:
        data = self._received()
        if data is not None:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if not data:
            self.close()
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not (self.waiting or self.streaming):
            self._advance()

    def _received(self) -> bytes | None:
        try:
            return self.sock.recv(RECEIVE_BYTES)
        except AGAIN:
            return None
        except OSError:
            return b""

    def _advance(self) -> None:
        self._advancing = True
        service = self.door.service
        while self._buffer and not (self.waiting or self.closing or self.closed or self.streaming):
            try:
                taken = take(self._buffer)
            except RequestError:
                service.counts["malformed"] += 1
                self._buffer = b""
                self.closing = True
                self.send(BAD_REQUEST)
                break
            if taken is None:
                break
            head, body, self._buffer = taken
            self._serve(head, body)
        self._advancing = False

    def _serve(self, head: Head, body: bytes) -> None:
        self.waiting = True
        self.last = not head.keep_alive
        if head.path == b"/metrics" and self.door.exporter is not None:
            self.waiting = False
            self.closing = self.last
            self.send(self.door.exporter())
            return
        self.served += 1
        service = self.door.service
        service.counts["requests"] += 1
        service.serve(self, head, body)

    def flush(self) -> None:
        """Send of what waits as much as the socket takes."""
        try:
            sent = self.sock.send(self.out)
        except AGAIN:
            return
        except OSError:
            self.close()
            return
        del self.out[:sent]
        if not self.out:
            self._watch(IN)
            if self.closing:
                self.close()

    def _watch(self, mask: int) -> None:
        if mask != self._mask and not self.closed:
            self._mask = mask
            self.door.loop.change(self.fd, mask)
