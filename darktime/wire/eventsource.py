"""The EventSource stream format as the WHATWG defines it, incremental: bytes in, events out, split anywhere. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from darktime.wire.errors import WireError

MAX_EVENT = 1_048_576
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One dispatched event. ``id`` is the last one the stream gave, as in browsers.

    ``type`` is "message" by default.
    """

    id: str
    type: str
    data: str


class EventReader:
    """One a stream. ``max_event``: bytes of one event (all its lines) before the reader gives up with WireError.

    ``last_event_id`` is what a browser would send when it reconnects, ``retry_ms`` the last valid reconnection time
    or None, ``comments`` the number of comment lines (keep-alive pings).
    """

    __slots__ = (
        "_bom_seen", "_data", "_event_bytes", "_id", "_pieces", "_pieces_bytes", "_skip_lf", "_type", "comments",
        "last_event_id", "max_event", "retry_ms",
    )  # fmt: skip

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self.max_event = max_event
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._bom_seen = False  # a byte order mark was skipped or can no longer come
        self._skip_lf = False  # the last byte was a CR that ended a line: an LF now belongs to it
        self._pieces: list[bytes] = []  # a line that has not ended yet, in the pieces it came in
        self._pieces_bytes = 0
        self._event_bytes = 0
        self._data: list[bytes] = []
        self._type = b""
        self._id = b""

    def feed(self, data: bytes | bytearray | memoryview) -> list[ServerEvent]:
        """Take bytes as they arrived; give the events that their empty lines dispatch."""
        raw = bytes(data)
        if not self._bom_seen:
            raw = self._skip_bom(raw)
        if self._skip_lf and raw:
            self._skip_lf = False
            if raw.startswith(b"\n"):
                raw = raw[1:]
        if not raw:
            return []
        if b"\r" in raw:
            self._skip_lf = raw.endswith(b"\r")
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = raw.split(b"\n")
        tail = lines.pop()
        if lines and self._pieces:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
            self._pieces_bytes = 0
        events: list[ServerEvent] = []
        for line in lines:
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        if tail:
            self._pieces.append(tail)
            self._pieces_bytes += len(tail)
            self._check_size(self._pieces_bytes)
        return events

    def _skip_bom(self, raw: bytes) -> bytes:
        start = b"".join(self._pieces) + raw
        self._pieces.clear()
        self._pieces_bytes = 0
        if len(start) < len(_BOM) and _BOM.startswith(start):
            if start:
                self._pieces.append(start)
                self._pieces_bytes = len(start)
            return b""
        self._bom_seen = True
        return start.removeprefix(_BOM)

    def _field(self, line: bytes) -> None:
        self._event_bytes += len(line)
        self._check_size(0)
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"event":
            self._type = value
        elif name == b"":
            self.comments += 1
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value[:15])  # longer is no time that anybody waits

    def _dispatch(self, events: list[ServerEvent]) -> None:
        self.last_event_id = self._id.decode("utf-8", "replace")
        if self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            events.append(ServerEvent(self.last_event_id, self._type.decode("utf-8", "replace") or "message", data))
            self._data.clear()
        self._type = b""
        self._event_bytes = 0

    def _check_size(self, waiting: int) -> None:
        if self._event_bytes + waiting > self.max_event:
            raise WireError(f"an event of more than {self.max_event} bytes: expected an empty line, read more")
