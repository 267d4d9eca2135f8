"""The desk: takes the requests of connections that ask, and answers them in order.

It stops taking them from a client that does not read its replies, and from everybody while fan-out has enough to do: a
publisher that is faster than the subscribers can be written to feels it in its own socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from realtime_core.push.endpoints import Subscription
from realtime_core.push.replies import CONTINUE, refusal_reply
from realtime_core.push.request import Refusal, RequestReader

if TYPE_CHECKING:
    from realtime_core.push.channels import Channels
    from realtime_core.push.connection import Connection
    from realtime_core.push.endpoints import Endpoints
    from realtime_core.push.loop import Loop
    from realtime_core.push.metrics import Counters
    from realtime_core.push.request import Request
    from realtime_core.push.settings import Settings
    from realtime_core.push.subscribers import Subscribers

REPLY_BYTES: Final = 65_536  # replies made for a client before they are sent and more of its requests are taken
HOLD_BYTES: Final = 1_048_576  # messages that wait for a pass before no more are taken in


class Desk:
    """All connections that ask."""

    def __init__(
        self,
        settings: Settings,
        channels: Channels[Connection],
        counters: Counters,
        endpoints: Endpoints,
        subscribers: Subscribers,
        *,
        loop: Loop,
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._counters = counters
        self._endpoints = endpoints
        self._subscribers = subscribers
        self._loop = loop
        self._asking: dict[Connection, None] = {}
        self._held: dict[Connection, None] = {}

    def begin(self, connection: Connection) -> None:
        """A connection was accepted."""
        self._asking[connection] = None

    def is_held(self, connection: Connection) -> bool:
        """Whether its requests wait until fan-out has caught up."""
        return connection in self._held

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._asking.pop(connection, None)
        self._held.pop(connection, None)

    def take(self, connection: Connection, reader: RequestReader, piece: bytes) -> None:
        """Bytes have come from a connection that asks."""
        if not reader.incomplete():
            connection.since = self._loop.now
        reader.feed(piece)
        self.serve(connection)

    def serve(self, connection: Connection) -> None:
        """Answer the requests that are there, as long as the client reads the replies and fan-out keeps up."""
        while connection.reader is not None and not connection.ending and not connection.outbox:
            replies: list[bytes] = []
            subscribing = self._answers(connection, connection.reader, replies)
            try:
                if replies:
                    connection.write(b"".join(replies))
            except OSError:
                self.lost(connection)
                return
            if subscribing is not None:
                subscription, request = subscribing
                self.forget(connection)
                self._subscribers.begin(connection, subscription.channels, subscription.replay, chunked=request.modern)
                return
            if not replies or connection in self._held:
                break
        self._loop.watch(connection)
        if connection.ending and not connection.outbox:
            self._loop.linger(connection)

    def release(self) -> None:
        """Answer those that were held, until fan-out has enough again."""
        if not self._held or self._channels.waiting_bytes >= HOLD_BYTES:
            return
        for connection in list(self._held):
            if self._channels.waiting_bytes >= HOLD_BYTES:
                return
            del self._held[connection]
            connection.since = self._loop.now
            self.serve(connection)

    def lost(self, connection: Connection) -> None:
        """The connection broke."""
        if not connection.lingering:
            self._counters.closed_clients["reset"] += 1
        self._loop.forget(connection)

    def expire(self) -> None:
        """Close those whose request takes too long, or that have asked nothing for long enough."""
        now = self._loop.now
        for connection in list(self._asking):
            reader = connection.reader
            if reader is None or connection.outbox or connection.ending or connection in self._held:
                continue
            if not reader.incomplete():
                if now - connection.since > self._settings.idle_timeout_s:
                    self._loop.forget(connection)
            elif now - connection.since > self._settings.request_timeout_s:
                self._counters.closed_clients["timeout"] += 1
                self._refuse_late(connection)

    def finish_all(self) -> None:
        """The server stops: nothing more is taken; replies that were made are still sent."""
        for connection in list(self._asking):
            connection.ending = True
            if not connection.outbox:
                self._loop.forget(connection)

    def _answers(
        self, connection: Connection, reader: RequestReader, replies: list[bytes]
    ) -> tuple[Subscription, Request] | None:
        """Answer requests into ``replies`` until there is a pause, or one of them asks to subscribe."""
        size = 0
        while size < REPLY_BYTES and not connection.ending:
            if self._channels.waiting_bytes >= HOLD_BYTES:
                self._held[connection] = None
                self._counters.holds += 1
                return None
            request = reader.next_request()
            if request is None:
                if reader.continue_wanted:
                    reader.continue_wanted = False
                    replies.append(CONTINUE)
                return None
            connection.since = self._loop.now
            if isinstance(request, Refusal):
                self._counters.request("other", request.status)
                replies.append(refusal_reply(request, keep_alive=False))
                connection.ending = True
                return None
            answer = self._endpoints.answer(request, self._loop.now, loopback=connection.loopback)
            if isinstance(answer, Subscription):
                return answer, request
            replies.append(answer)
            size += len(answer)
            connection.ending = not request.keep_alive
        return None

    def _refuse_late(self, connection: Connection) -> None:
        self._counters.request("other", 408)
        connection.ending = True
        try:
            connection.write(refusal_reply(Refusal(status=408), keep_alive=False))
        except OSError:
            self._loop.forget(connection)
            return
        self._loop.watch(connection)
        if not connection.outbox:
            self._loop.linger(connection)
