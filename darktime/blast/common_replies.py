"""Knows a whole, ordinary reply by its head, so that it need not be parsed again. Pure; bounded."""

from __future__ import annotations

from darktime.wire.head import common_head

MAX_KNOWN = 1024


class CommonReplies:
    """``status`` of bytes; ``unless`` are statuses that it does not know."""

    def __init__(self, *, unless: frozenset[int] = frozenset()) -> None:
        self._unless = unless
        self._known: dict[bytes, tuple[int, int]] = {}  # head -> status, length of the body

    def status(self, received: bytes) -> int:
        """The status of a whole, common reply that is all that was received; else 0."""
        end = received.find(b"\r\n\r\n") + 4
        head = received[:end]
        found = self._known.get(head)
        if found is None:
            common = common_head(head)
            if common is None:
                return 0
            found = (common[0], common[1])
            if len(self._known) >= MAX_KNOWN:  # heads that differ every time are not worth remembering
                self._known.clear()
            self._known[head] = found
        status, length = found
        return 0 if len(received) != end + length or status in self._unless else status
