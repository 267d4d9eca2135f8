"""Events by channel, a bounded number of them. Pure."""

from __future__ import annotations

import re
from typing import Final

OTHER: Final = "other"
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Channels:
    """``counts``: events by channel; of the first ``limit`` channels by name, of all others, and of odd names, together."""

    __slots__ = ("_limit", "counts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.counts: dict[str, int] = {}

    def count(self, channel: str) -> None:
        """One event."""
        counts = self.counts
        if channel in counts:
            counts[channel] += 1
            return
        if len(counts) >= self._limit or not _NAME.fullmatch(channel):
            channel = OTHER
        counts[channel] = counts.get(channel, 0) + 1
