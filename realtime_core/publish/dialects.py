"""How the push engines differ as seen by a publisher: what a request needs, and what an answer means. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from realtime_core.publish.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from realtime_core.publish.events import Event
    from realtime_core.publish.replies import Reply

# push-stream says 200; nchan says 201 to somebody and 202 to nobody. 204 is what a sink says: it took nothing in.
ACCEPTED: Final = frozenset({200, 201, 202})
# `"subscribers": 0` of both JSON bodies, `active_subscribers: 0` and `active subscribers: 1` of the plain ones.
_SUBSCRIBERS: Final = re.compile(rb'subscribers"?: ?(\d{1,12})')


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine's manner.

    Attributes:
        headers: lines that every publish carries, each with its line end.
        empty: what an answer without a body says about subscribers, by status.
    """

    name: str
    headers: bytes
    empty: Mapping[int, int | None]

    def request(self, prefix: bytes, host: bytes, event: Event) -> bytes:
        """The bytes that publish an event; its id and time go along, so that every box shows the same."""
        return (
            b"POST %b/pub?id=%b HTTP/1.1\r\nHost: %b\r\n%bEvent-Id: %b\r\nEvent-At: %b\r\nContent-Length: %d\r\n\r\n%b"
        ) % (
            prefix,
            event.channel.encode(),
            host,
            self.headers,
            event.id.encode(),
            repr(event.at).encode(),  # the shortest text that is the same number on the other side
            len(event.line),
            event.line,
        )

    def outcome(self, reply: Reply) -> Outcome:
        """What an answer means."""
        if reply.status not in ACCEPTED:
            return Outcome(
                accepted=False, reason=f"status_{reply.status // 100}xx", status=reply.status, explain=reply.explain
            )
        found = _SUBSCRIBERS.search(reply.body)
        subscribers = int(found[1]) if found else self.empty.get(reply.status)
        return _accepted(reply.status, subscribers)


@lru_cache(maxsize=1024)
def _accepted(status: int, subscribers: int | None) -> Outcome:
    return Outcome(accepted=True, subscribers=subscribers, status=status)


PUSH_STREAM: Final = Dialect(name="push_stream", headers=b"", empty={})
NCHAN: Final = Dialect(name="nchan", headers=b"Accept: text/json\r\n", empty={202: 0})
DIALECTS: Final = {dialect.name: dialect for dialect in (PUSH_STREAM, NCHAN)}
