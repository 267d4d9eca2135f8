"""Copies that wait for a connection: at most so many, and so many bytes, with those that are being sent. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.split.relay.copies import Copy


class Backlog:
    """First in, first out. ``held``: bytes that wait, or are being sent; who sends some says when they are gone."""

    def __init__(self, *, copies: int, size: int) -> None:
        self._most_copies = copies
        self._most_bytes = size
        self._waiting: deque[tuple[Copy, bytes, float]] = deque()
        self.held = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def fits(self, payload: bytes) -> bool:
        """Whether there is room for one more."""
        return len(self._waiting) < self._most_copies and self.held + len(payload) <= self._most_bytes

    def put(self, copy: Copy, payload: bytes, now: float) -> None:
        """Take one."""
        self._waiting.append((copy, payload, now))
        self.held += len(payload)

    def next(self) -> tuple[Copy, bytes]:
        """The next; its bytes are no longer held."""
        copy, payload, _ = self._waiting.popleft()
        self.held -= len(payload)
        return copy, payload

    def since(self) -> float:
        """When the next was put."""
        return self._waiting[0][2]

    def clear(self) -> None:
        """Forget all."""
        while self._waiting:
            self.next()
