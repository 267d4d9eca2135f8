"""Subscribers that read so many bytes a second at most, as a browser on a bad line does: who, and how much now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from darktime.blast.link import Link

ALLOWANCE_S = 0.2  # no more time than this is made up for: a slow reader does not catch up in a burst


class SlowReaders:
    """``links`` are they, none at first. Until they are ``begun`` they read as fast as anybody."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.begun = True
        self._bytes_per_s = 0.0
        self._read_at = 0.0
        self._saved = 0.0  # a fraction of a byte

    def choose(
        self, links: Sequence[Link], wanted: int, bytes_per_s: float, now: float, *, rather_not: Collection[Link]
    ) -> None:
        """Make ``wanted`` of them slow, evenly over the channels; those of ``rather_not`` are taken last."""
        self._bytes_per_s = bytes_per_s
        self._read_at, self._saved = now, 0.0
        for link in sorted(links, key=rather_not.__contains__)[:wanted]:
            link.slow = True
            self.links.append(link)

    def begin(self, now: float) -> None:
        """From now on they are slow."""
        self.begun = True
        self._read_at, self._saved = now, 0.0

    def allowance(self, now: float) -> int:
        """Bytes that each may read now; what is not a whole byte yet is kept for the next time."""
        self._saved += min(now - self._read_at, ALLOWANCE_S) * self._bytes_per_s
        self._read_at = now
        allowed = int(self._saved)
        self._saved -= allowed
        return allowed
