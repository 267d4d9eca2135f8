"""Opens the subscribers' connections, paced and some at a time, and asks for their streams until the head has come."""

from __future__ import annotations

import heapq
import time
from itertools import count as counting
from itertools import cycle
from typing import TYPE_CHECKING

from darktime.blast.link import ASKED, CONNECTING
from darktime.blast.pace import Pace
from darktime.blast.sockets import connect, stands
from darktime.wire.errors import WireError
from darktime.wire.head import MAX_HEAD, head_end, parse_head
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.blast.cohort import Cohort, Owner
    from darktime.blast.link import Link
    from darktime.blast.settings import Address
    from darktime.wire.head import Head

# Connections under way at once: half of a small backlog, so that subscribers who come are no storm.
MAX_CONNECTING = 256
SLOW_RECEIVE_BUFFER = 4096
_OK = 200


class Opening:
    """What a connection needs until its stream is open, and no longer."""

    __slots__ = ("head", "published", "since")

    def __init__(self, since: float) -> None:
        self.since = since  # monotonic
        self.head = b""  # as much of it as has arrived
        self.published = 0  # the channel's last number when it asked


class Dialer:
    """``by_fd`` holds the connections it made, until ``forget``. ``failed`` is told of each that came to nothing.

    ``requests``: one a channel, without its last empty line. The sockets are watched for ``owner``.
    """

    def __init__(
        self,
        cohort: Cohort,
        owner: Owner,
        address: Address,
        requests: Sequence[bytes],
        *,
        source_ips: Sequence[str],
        connects_per_s: float | None,
        max_connecting: int,
        timeout_s: float,
        failed: Callable[[Link, int], None],
    ) -> None:
        self.by_fd: dict[int, Link] = {}
        self._cohort = cohort
        self._owner = owner
        self._address = address
        self._requests = requests
        self._source_ips = cycle(source_ips) if source_ips else None
        self._pace = Pace(connects_per_s, time.monotonic())
        self._max_connecting = max_connecting
        self._timeout_s = timeout_s
        self._failed = failed
        self._opening: dict[Link, Opening] = {}
        self._order = counting()
        self._due: list[tuple[float, int, Link]] = []  # a heap: when to connect

    def plan(self, link: Link, at: float) -> None:
        """Connect it at that time (monotonic seconds), or when it is its turn."""
        heapq.heappush(self._due, (at, next(self._order), link))

    def stop(self) -> None:
        """Connect nobody any more."""
        self._due.clear()

    def connect_due(self) -> None:
        """Begin to connect those whose time has come, as many as may be under way."""
        now = time.monotonic()
        due = self._due
        if not due or due[0][0] > now:
            return
        room = self._pace.room(self._max_connecting - len(self._opening), now)
        while room > 0 and due and due[0][0] <= now:
            room -= 1
            self._pace.began(1)
            self._connect(heapq.heappop(due)[2])

    def overdue(self) -> list[Link]:
        """Those that were not served within the timeout."""
        oldest = time.monotonic() - self._timeout_s
        return [link for link, opening in self._opening.items() if opening.since < oldest]

    def ask(self, link: Link, published: int, last_event_id: bytes) -> bool:
        """Send the request once the connection stands; False while it does not, or when it came to nothing."""
        raw = link.raw
        assert raw is not None
        resumed = b"Last-Event-ID: %s\r\n" % last_event_id if last_event_id else b""
        try:
            if not stands(raw):
                self._cohort.poller.modify(link.fd, IN)
                return False
            raw.send(self._requests[link.channel] + resumed + b"\r\n")  # a new socket's buffer takes it whole
        except BlockingIOError:
            return False
        except OSError as error:
            self._failed(link, error.errno or 0)
            return False
        self._opening[link].published = published
        link.state = ASKED
        self._cohort.poller.modify(link.fd, IN)
        return True

    def head(self, link: Link, received: bytes) -> tuple[Head, bytes] | None:
        """Take bytes of a reply; its head and what stands behind it, once it is whole. Raises WireError."""
        opening = self._opening[link]
        buffer = opening.head + received
        head: Head | None = None
        while head is None:  # 1xx may stand before it
            end = head_end(buffer)
            if end < 0 or end > MAX_HEAD:
                if len(buffer) > MAX_HEAD or not b"HTTP/".startswith(buffer[:5]):
                    raise WireError(f"expected the head of a stream, read {buffer[:80]!r}")
                opening.head = buffer
                return None
            head = parse_head(buffer[:end])
            buffer = buffer[end:]
        return head, buffer

    def opened(self, link: Link) -> Opening:
        """The stream is open: nothing is under way any more."""
        return self._opening.pop(link)

    def forget(self, link: Link) -> None:
        """Close its connection, if there is one."""
        self._opening.pop(link, None)
        if link.raw is not None:
            self._cohort.unregister(link.fd)
            self.by_fd.pop(link.fd, None)
            link.raw.close()
            link.raw = None

    def _connect(self, link: Link) -> None:
        source = next(self._source_ips) if self._source_ips else None
        try:
            raw = connect(self._address, source, receive_buffer=SLOW_RECEIVE_BUFFER if link.slow else None)
        except OSError as error:
            self._failed(link, error.errno or 0)
            return
        link.raw, link.fd, link.recv = raw, raw.fileno(), raw.recv
        link.state = CONNECTING
        self._opening[link] = Opening(time.monotonic())
        self.by_fd[link.fd] = link
        self._cohort.register(link.fd, OUT, self._owner)


def subscribe_requests(address: Address, path: str, channels: Sequence[str]) -> list[bytes]:
    """What asks for each channel's stream, without its last empty line; ``path`` has ``{channel}`` in it."""
    return [
        (
            f"GET {path.format(channel=channel)} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: darkesttime\r\n"
            f"Accept: text/event-stream\r\nAccept-Encoding: identity\r\nCache-Control: no-cache\r\nX-Darktime: 1\r\n"
        ).encode("ascii")
        for channel in channels
    ]


def refusal(head: Head) -> str | None:
    """Why a reply is no stream that a browser would open; None when it is one."""
    if head.status != _OK:
        return f"status_{head.status // 100}xx"
    kind = (head.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if kind != b"text/event-stream":
        return "not_a_stream"
    if (head.header(b"content-encoding") or b"identity").lower() != b"identity":
        return "not_a_stream"  # compressed, though we asked for no compression
    return None
