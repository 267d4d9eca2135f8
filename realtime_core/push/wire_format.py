"""The bytes that subscribers get: events, comments and chunks, as HttpPushStreamModule writes them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

GREETING: Final = b": \n"
PING: Final = b": -1\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
DELETED: Final = b"Channel deleted"

_STREAM: Final = (
    b"HTTP/1.%d 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
    b"Cache-Control: no-cache, no-store, must-revalidate\r\n"
    b"X-Accel-Buffering: no\r\n"
)
STREAM_1_1: Final = _STREAM % 1 + b"Transfer-Encoding: chunked\r\n\r\n"
STREAM_1_0: Final = _STREAM % 0 + b"Connection: close\r\n\r\n"


class Event(NamedTuple):
    """One message of one channel as it was taken in. ``name`` is what the ledger calls it, None if it is not counted.

    A tuple, because one is made for every publish and costs a third of a frozen dataclass.
    """

    name: str | None
    at: float  # the event's time, seconds UTC
    event_id: bytes | None
    payload: bytes


def event_bytes(body: bytes, event_id: bytes | None, event_type: bytes | None) -> bytes:
    """An EventSource event: ``id:`` and ``event:`` only where given; empty lines of the body do not survive."""
    fields = []
    if event_id:
        fields.append(b"id: " + event_id)
    if event_type:
        fields.append(b"event: " + event_type)
    # bytes.splitlines splits at CR, LF and CR LF and nowhere else: the line ends of EventSource.
    fields += [b"data: " + line for line in body.splitlines() if line]
    fields.append(b"\n")
    return b"\n".join(fields) if len(fields) > 1 else b"\n"


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body; ``payload`` may not be empty (that would end the body)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def chunk_head_bytes(payload_bytes: int) -> int:
    """How many bytes stand before the payload in its chunk."""
    return len(b"%x\r\n" % payload_bytes)


def whole_events(events: Sequence[Event], start: int, written: int) -> int:
    """How many of the events, which stand in a row from byte ``start``, are whole in the first ``written`` bytes."""
    for count, event in enumerate(events):
        start += len(event.payload)
        if start > written:
            return count
    return len(events)
