"""One push box: publishes events over one kept connection, and says of each what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gevent import Timeout

from realtime_core.errors import ConfigurationError
from realtime_core.publish.connection import Connection
from realtime_core.publish.dialects import DIALECTS
from realtime_core.publish.events import IDENTIFIER
from realtime_core.publish.outcome import TIMEOUT, TOO_BIG, Outcome, failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.publish.events import Event
    from realtime_core.publish.replies import Reply

# So many replies fit into the kernel's buffers: neither side can wait for the other to read.
FLIGHT_EVENTS: Final = 128
FLIGHT_BYTES: Final = 262_144
SERVER_ERROR: Final = 500
PROBE_CHANNEL: Final = b"realtime.probe"


class Box:
    """A push endpoint, or a stand-in for one. For one greenlet at a time.

    Attributes:
        required: whether a job waits until this box has taken its events.
        timeout_s: for a whole ``publish``, connecting included.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        dialect: str = "push_stream",
        required: bool = True,
        timeout_s: float = 2.0,
        max_bytes: int = 65_536,
    ) -> None:
        """Describe the box; nothing is sent.

        Args:
            name: what metrics and the ledger's hop call it.
            url: ``http://HOST[:PORT][/PREFIX]``; events go to ``…/pub?id=CHANNEL``.
            dialect: ``push_stream`` or ``nchan``.
            required: whether jobs wait for it.
            timeout_s: limit of one call.
            max_bytes: the longest line that is sent; push servers refuse longer bodies anyway, and then close.

        Raises:
            ConfigurationError: one of these cannot be.
        """
        if not IDENTIFIER.fullmatch(name):
            raise ConfigurationError(f"box name {name!r:.200}: use 1 to 128 of A-Z a-z 0-9 _ . : -")
        if dialect not in DIALECTS:
            raise ConfigurationError(f"box {name}: dialect {dialect!r} is not known: use {' or '.join(DIALECTS)}")
        if not timeout_s > 0 or max_bytes < 1:
            raise ConfigurationError(f"box {name}: timeout_s={timeout_s}, max_bytes={max_bytes}: both must be above 0")
        self.name = name
        self.url = url
        self.required = required
        self.timeout_s = timeout_s
        self.max_bytes = max_bytes
        self._dialect = DIALECTS[dialect]
        self._host, port, self._prefix = _parts(name, url)
        self._connection = Connection(urlsplit(url).hostname or "", port)

    def another(self) -> Box:
        """The same box over a connection of its own, for another greenlet."""
        return Box(
            self.name,
            self.url,
            dialect=self._dialect.name,
            required=self.required,
            timeout_s=self.timeout_s,
            max_bytes=self.max_bytes,
        )

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._connection.opened

    def publish(self, events: Sequence[Event]) -> list[Outcome]:
        """Publish in order, many requests in one send; an outcome for each event, in their order."""
        sendable = [event for event in events if len(event.line) <= self.max_bytes]
        replies: list[Reply] = []
        failure: str | None = TIMEOUT
        with Timeout(self.timeout_s, False):
            failure = self._publish(sendable, replies)
        outcomes = [self._dialect.outcome(reply) for reply in replies]
        outcomes += [failed(failure or TIMEOUT)] * (len(sendable) - len(outcomes))
        if len(sendable) == len(events):
            return outcomes
        in_order = iter(outcomes)
        return [next(in_order) if len(event.line) <= self.max_bytes else self._too_big(event) for event in events]

    def probe(self, *, publishing: bool = False) -> bool:
        """Ask whether the box answers at all; or (``publishing``) whether it takes an event, on a channel of nobody's."""
        method = b"POST" if publishing else b"GET"
        request = b"%b %b/pub?id=%b HTTP/1.1\r\nHost: %b\r\n" % (method, self._prefix, PROBE_CHANNEL, self._host)
        # Without an Event-Id, so that no ledger counts it.
        request += b"Content-Length: 2\r\n\r\n{}" if publishing else b"\r\n"
        replies: list[Reply] = []
        with Timeout(self.timeout_s, False):
            self._connection.exchange([request], replies)
        return bool(replies) and replies[0].status < SERVER_ERROR

    def close(self) -> None:
        """End the kept connection."""
        self._connection.close()

    def _too_big(self, event: Event) -> Outcome:
        explain = f"{len(event.line):,} bytes, this box's max_bytes is {self.max_bytes:,}"
        return Outcome(accepted=False, reason=TOO_BIG, explain=explain)

    def _publish(self, events: Sequence[Event], replies: list[Reply]) -> str | None:
        requests = [self._dialect.request(self._prefix, self._host, event) for event in events]
        while len(replies) < len(requests):
            flight: list[Reply] = []
            try:
                failure = self._connection.exchange(_flight(requests, len(replies)), flight)
            finally:
                replies += flight  # a time-out must not lose what was answered
            if failure is not None:
                return failure
        return None


def _flight(requests: Sequence[bytes], start: int) -> list[bytes]:
    """As many requests from ``start`` as go out together; one at least."""
    chosen: list[bytes] = []
    total = 0
    for request in requests[start : start + FLIGHT_EVENTS]:
        total += len(request)
        if chosen and total > FLIGHT_BYTES:
            break
        chosen.append(request)
    return chosen


def _parts(name: str, url: str) -> tuple[bytes, int, bytes]:
    """The Host header, the port and the path's prefix of a box's URL."""
    remedy = f"box {name}: the URL {url!r} cannot be used: give http://HOST[:PORT][/PREFIX]"
    try:
        split = urlsplit(url)
        port = 80 if split.port is None else split.port
        host, prefix = split.netloc.encode("ascii"), split.path.rstrip("/").encode("ascii")
    except ValueError as error:
        raise ConfigurationError(f"{remedy} ({error})") from error
    odd = split.scheme != "http" or not split.hostname or "@" in split.netloc or split.query or split.fragment
    if odd or not url.isprintable() or " " in url:
        raise ConfigurationError(remedy)
    return host, port, prefix
