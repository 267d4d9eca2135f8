"""One connection that requests are sent on: its socket, the request it is busy with, and where it stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _socket

    from darktime.wire.http1 import ResponseReader

CONNECTING, IDLE, BUSY, CLOSED = range(4)
NEVER = -1  # no connection stands so


class Connection:
    """Times are monotonic seconds."""

    __slots__ = (
        "fd",
        "hops",
        "number",
        "planned",
        "raw",
        "reader",
        "recv",
        "request",
        "send",
        "sent",
        "served",
        "state",
        "unsent",
    )

    def __init__(self, raw: _socket.socket) -> None:
        self.raw = raw
        self.fd = raw.fileno()
        self.recv = raw.recv
        self.send = raw.send
        self.state = CONNECTING
        self.reader: ResponseReader | None = None  # of a reply that has begun
        self.unsent = b""
        self.planned = 0.0
        self.sent = time.monotonic()  # or, before the first request, when it began to connect
        self.number = 0  # the source's, of the request
        self.hops = 0  # redirects that were followed
        self.served = False  # it has had a reply that was no refusal
        self.request = b""  # kept where redirects are followed
