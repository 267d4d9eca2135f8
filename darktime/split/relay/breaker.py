"""The breaker: after several failures in a row the dark instance is left alone for a while. Pure."""

from __future__ import annotations


class Breaker:
    """Closed at first. ``allows`` says whether to try now; when open, one trial a ``pause_s``."""

    __slots__ = ("_failures", "_limit", "_pause_s", "_retry_at", "reason", "trips")

    def __init__(self, *, failures: int = 5, pause_s: float = 1.0) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._failures = 0
        self._retry_at = 0.0
        self.reason: str | None = None  # why it is open
        self.trips = 0

    def allows(self, now: float) -> bool:
        """Whether a copy may go to the dark instance; when open, the first to ask after a pause is the trial."""
        if self.reason is None:
            return True
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause_s
        return True

    def failed(self, reason: str, now: float) -> None:
        """A try failed."""
        self._failures += 1
        if self._failures >= self._limit:
            if self.reason is None:
                self.trips += 1
            self.reason = reason
            self._retry_at = now + self._pause_s

    def succeeded(self) -> None:
        """A reply came."""
        self._failures = 0
        self.reason = None
