"""The channels of a push server: their events, the bounded history, who listens. No sockets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.darktime.blast.servers.links import Link
    from tests.darktime.blast.servers.sse_order import Disorder


class Event(NamedTuple):
    """One event as it was published, and as it is written."""

    number: int
    event_id: bytes
    wire: bytes


class Replay(NamedTuple):
    """What follows an id; ``lost`` events that were published after it are not kept any more."""

    events: list[Event]
    lost: int


class Channel:
    """``number`` is that of its last event."""

    def __init__(self, name: str, history: int, disorder: Disorder[Event]) -> None:
        self.name = name
        self.number = 0
        self.history: deque[Event] = deque(maxlen=history)
        self.subscribers: dict[Link, None] = {}
        self.disorder = disorder

    def after(self, last_id: bytes, epoch: bytes) -> Replay:
        """What a subscriber needs that has seen ``last_id``; one of another epoch or none of ours needs all."""
        begins, _, digits = last_id.rpartition(b"-")
        seen = int(digits) if begins == epoch and digits.isdigit() else -1
        if seen < 0:
            named = [event.number for event in self.history if event.event_id == last_id]
            seen = named[-1] if named else 0
        oldest = self.number - len(self.history)
        kept = [event for event in self.history if event.number > seen]
        return Replay(kept, max(0, oldest - seen))

    def figures(self) -> dict[str, object]:
        """As the module's statistics show it."""
        return {
            "channel": self.name,
            "published_messages": self.number,
            "stored_messages": len(self.history),
            "subscribers": len(self.subscribers),
        }
