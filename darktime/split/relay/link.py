"""One connection to the dark instance: what it is sending, and what reads its replies."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from darktime.split.log_format import plain_type
from darktime.wire.http1 import ResponseReader
from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from darktime.split.relay.copies import Copy
    from darktime.wire.eventsource import ServerEvent


AT_ONCE = 65_536  # bytes that a socket takes in one go, mostly: what is longer is not copied for every piece


class State(Enum):
    """Where a connection stands."""

    SENDING = 1
    WAITING = 2
    IDLE = 3
    STREAM = 4


class Link:
    """One connection. ``deadline``: when it has taken too long, by the caller's clock. ``out``: still to be sent."""

    __slots__ = (
        "_head", "_method", "deadline", "fd", "held", "lag_s", "later", "out", "reader", "request_id", "sent_at", "shaking",
        "sock", "stamped", "stands", "state", "stream", "tells", "watched",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.reader = ResponseReader(max_body=0)
        self.stream: StreamReader | None = None
        self.state = State.IDLE
        self.request_id = ""
        self.out: bytes | memoryview = b""
        self.watched = 0  # what the poller watches it for; 0: it does not know it
        self.later = False  # it is read when there is time: another poller watches it for that
        self.stamped = False  # the kernel says when what is read had come
        self.tells = False  # and has done so
        self.lag_s = 0.0  # how long what was read last lay here
        self.stands = False  # it is connected
        self.shaking = False  # TLS is not ready yet
        self.held = 0  # bytes that count as waiting until they are sent
        self.sent_at = self.deadline = 0.0
        self._head: bytes | None = None
        self._method = "GET"

    def begin(self, copy: Copy, payload: bytes, deadline: float) -> None:
        """Take a copy to be sent."""
        self.request_id = copy.id
        self.out = memoryview(payload) if len(payload) > AT_ONCE else payload
        self.held = len(payload)
        self.sent_at = 0.0
        self.deadline = deadline
        self.state = State.SENDING
        self._head = b""
        self._method = copy.method

    def await_reply(self, copy: Copy, sent_at: float, deadline: float) -> None:
        """A copy has been sent, whole and at once."""
        self.request_id = copy.id
        self._method = copy.method
        self._head = b""
        self.sent_at = sent_at
        self.deadline = deadline
        self.state = State.WAITING

    def rest(self, deadline: float) -> None:
        """The reply is here: wait for the next copy."""
        self.request_id = ""
        self.deadline = deadline
        self.state = State.IDLE
        self._head = None

    @property
    def unread(self) -> bool:
        """Whether nothing of the reply has come, and nothing of its body is kept: it may be told from one look."""
        return self._head == b"" and not self.reader.max_body and self._method != "HEAD"

    @property
    def head_pending(self) -> bool:
        """Whether it has not been decided yet if the reply is a stream."""
        return self._head is not None

    def keep_head(self, data: bytes) -> None:
        """Keep what has come until that is decided; the reader bounds it, and hears here of what it is to read."""
        if self._head is not None:
            if not self._head:
                self.reader.expect(self._method.encode("latin-1"))
            self._head += data

    def forget_head(self) -> None:
        """It is no stream."""
        self._head = None

    def open_stream(self) -> list[ServerEvent]:
        """It is a stream: read what has come so far as one."""
        self.stream = StreamReader()
        head, self._head = self._head or b"", None
        return self.stream.feed(head)

    @staticmethod
    def content_type(headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The content type among headers, without parameters; empty where there is none."""
        for name, value in headers:
            if name == b"content-type":
                return plain_type(value.decode("latin-1"))
        return ""
