"""An event as it goes over the wire: one line of JSON on one channel, with an id that stays its own. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.quick_values import quickly_made

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Nothing in it needs encoding in a URL or a header, and every push engine reads it alike.
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message of one channel.

    Attributes:
        id: ``EPOCH-NUMBER``, stamped once a job and channel; another attempt keeps it.
        channel: 1 to 128 of ``A-Z a-z 0-9 _ . : -``.
        at: when it was saved, seconds UTC.
        line: the JSON text, without a line end.
    """

    id: str
    channel: str
    at: float
    line: bytes

    @property
    def name(self) -> str:
        """What the ledger calls it: ``CHANNEL EVENT-ID``."""
        return f"{self.channel} {self.id}"


def check_channel(channel: str) -> str:
    """Give a channel back if every engine can carry it.

    Raises:
        ConfigurationError: it does not match ``[A-Za-z0-9_.:-]{1,128}``.
    """
    if not IDENTIFIER.fullmatch(channel):
        raise ConfigurationError(f"channel {channel!r:.200}: use 1 to 128 of A-Z a-z 0-9 _ . : -")
    return channel


def event_of(stamps: Sequence[tuple[str, str]], at: float, fields: Mapping[str, Any]) -> list[Event]:
    """The events of one job: the same fields on each channel, serialised once.

    Args:
        stamps: channel and event id, one pair an event.
        at: seconds UTC.
        fields: the rest of the event; at least one, JSON types only.

    Raises:
        ConfigurationError: a channel or an id that cannot be carried.
    """
    shared = orjson.dumps(fields)[1:]
    events = []
    for channel, event_id in stamps:
        check_channel(channel)
        if not IDENTIFIER.fullmatch(event_id):
            raise ConfigurationError(f"event id {event_id!r:.200}: use 1 to 128 of A-Z a-z 0-9 _ . : -")
        # Neither needs escaping in JSON either.
        line = b'{"id":"%b","channel":"%b",%b' % (event_id.encode(), channel.encode(), shared)
        events.append(Event(id=event_id, channel=channel, at=at, line=line))
    return events
