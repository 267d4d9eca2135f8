"""Reads one stream that ends by itself: how many events came, when, and whether it was whole. Pure: times are given.

Events that come in one read have one time, so those behind the first of them count as 0 apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from darktime.blast.event_text import EventText

if TYPE_CHECKING:
    from darktime.wire.head import Head

_DATA = re.compile(rb"^data(?:: ?([^\n]*))?$", re.MULTILINE)


class TokenReader:
    """One reply. ``whole``: it has ended as it should; ``between_s`` and the rest grow.

    ``end_marker`` is the data of the event that says that nothing follows; it counts as no event.
    """

    __slots__ = (
        "_end_marker",
        "_text",
        "between_s",
        "ended",
        "events",
        "first_at",
        "keep_alive",
        "last_at",
        "marked",
        "until_close",
    )

    def __init__(self, head: Head, end_marker: bytes | None) -> None:
        self._text = EventText(chunked=head.chunked, length=head.length)
        self._end_marker = end_marker
        self.keep_alive = head.keep_alive
        self.until_close = head.until_close
        self.events = 0
        self.first_at: float | None = None
        self.last_at = 0.0
        self.between_s: list[float] = []
        self.marked = False  # the end marker has come
        self.ended = head.length == 0  # the reply has ended by its own framing

    def feed(self, body: bytes, now: float) -> int:
        """Take bytes behind the head; how many events they completed. Raises WireError."""
        text = self._text.feed(body)
        self.ended = self._text.done
        if not text:
            return 0
        events = self._count(text)
        if events:
            self.events += events
            if self.first_at is None:
                self.first_at = now
            else:
                self.between_s.append(now - self.last_at)
            if events > 1:
                self.between_s += [0.0] * (events - 1)
            self.last_at = now
        return events

    @property
    def comments(self) -> int:
        """Comment lines so far."""
        return self._text.comments

    def whole(self, *, closed: bool) -> bool:
        """Whether it is complete: by its end marker where one was promised, else by its framing."""
        if self._end_marker is not None:
            return self.marked
        return self.ended or (closed and self.until_close and self.events > 0)

    def _count(self, text: bytes) -> int:
        marker = self._end_marker
        events = 0
        for block in text.split(b"\n\n"):
            if marker is not None and marker in block and _data(block) == marker:
                self.marked = True
            elif block.startswith(b"data:") or _DATA.search(block) is not None:
                events += 1
        return events


def _data(block: bytes) -> bytes:
    return b"\n".join(match[1] or b"" for match in _DATA.finditer(block))
