"""One client's socket: the request reader while it asks, the bytes that wait for it, the events those bytes carry."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from realtime_core.push.wire_format import Event, chunk, chunk_head_bytes, whole_events

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from realtime_core.push.channels import Channel
    from realtime_core.push.request import RequestReader


class Entry(NamedTuple):
    """Bytes that wait, and the events in them, the first of which begins at byte ``start``."""

    sent: bytes
    events: Sequence[Event]
    start: int


class Connection:
    """A client, first asking, then perhaps subscribing. Nothing here waits or looks at a clock.

    Attributes:
        direct: it subscribes, speaks HTTP/1.1 and nothing waits for it: a chunk may go straight into its socket.
        since: when it last made progress, monotonic seconds: it connected, began or completed a request, or read.
        ending: no more requests are taken; it is closed once it has read what waits for it.
        lingering: it has been told all and half-closed; what it still sends is thrown away for a while.
        interest: what epoll watches it for.
    """

    __slots__ = (
        "channels",
        "chunked",
        "closed",
        "direct",
        "ending",
        "fd",
        "interest",
        "lingering",
        "loopback",
        "outbox",
        "reader",
        "recv",
        "send",
        "since",
        "sock",
        "waiting_bytes",
        "written",
    )

    def __init__(self, sock: socket.socket, *, loopback: bool, reader: RequestReader, now: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.send = sock.send
        self.recv = sock.recv
        self.loopback = loopback
        self.reader: RequestReader | None = reader
        self.since = now
        self.channels: tuple[Channel[Connection], ...] = ()
        self.chunked = False
        self.direct = False
        self.ending = False
        self.lingering = False
        self.closed = False
        self.interest = 0
        self.outbox: deque[Entry] | None = None
        self.written = 0  # bytes of the outbox's first entry that the socket has taken
        self.waiting_bytes = 0

    def subscribe(self, channels: tuple[Channel[Connection], ...], *, chunked: bool) -> None:
        """From now on it is a subscriber of these channels."""
        self.reader = None
        self.channels = channels
        self.chunked = chunked
        self.direct = chunked and not self.outbox

    def write(self, sent: bytes, events: Sequence[Event] = (), start: int = 0) -> None:
        """Send bytes, or let them wait behind those that do.

        Raises:
            OSError: the peer is gone; nothing of it waits.
        """
        if self.outbox:
            self.outbox.append(Entry(sent, events, start))
            self.waiting_bytes += len(sent)
            return
        try:
            taken = self.send(sent)
        except BlockingIOError:
            taken = 0
        if taken < len(sent):
            self.keep(Entry(sent, events, start), taken)

    def write_events(self, events: Sequence[Event], before: bytes = b"") -> None:
        """Send events in the subscriber's framing, after ``before``, which is framed already. Raises as ``write``."""
        payload = b"".join([event.payload for event in events])
        if self.chunked and payload:
            self.write(before + chunk(payload), events, len(before) + chunk_head_bytes(len(payload)))
        else:
            self.write(before + payload, events, len(before))

    def keep(self, entry: Entry, taken: int) -> None:
        """The socket took only ``taken`` bytes of an entry and nothing waited: the rest waits."""
        self.outbox = deque((entry,))
        self.written = taken
        self.waiting_bytes = len(entry.sent) - taken
        self.direct = False

    def flush(self) -> bool:
        """Write what waits, as far as the socket takes it; whether it took anything.

        Raises:
            OSError: the peer is gone.
        """
        outbox = self.outbox
        progress = False
        while outbox:
            sent = outbox[0].sent
            try:
                taken = self.send(sent[self.written :] if self.written else sent)
            except BlockingIOError:
                return progress
            progress = True
            self.written += taken
            self.waiting_bytes -= taken
            if self.written < len(sent):
                return progress
            outbox.popleft()
            self.written = 0
        self.outbox = None
        self.direct = self.chunked and bool(self.channels) and not self.ending
        return progress

    def unsent_events(self) -> list[Event]:
        """The events that wait and are not whole in the socket."""
        unsent: list[Event] = []
        written = self.written
        for entry in self.outbox or ():
            unsent += entry.events[whole_events(entry.events, entry.start, written) :]
            written = 0
        return unsent

    def close(self) -> None:
        """Close the socket and forget what waits."""
        self.closed = True
        self.direct = False
        self.reader = None
        self.channels = ()
        self.outbox = None
        self.waiting_bytes = 0
        self.sock.close()
