"""A circuit breaker: after some failures in a row a box is left alone for a while, then probed. Pure.

The caller has the clock.
"""

from __future__ import annotations

from realtime_core.errors import ConfigurationError


class Breaker:
    """Closed: everything may be tried. Open: nothing, until its time is over; then one probe decides.

    A probe that fails opens it again, for twice as long each time, up to ``max_open_s``. All times are seconds of the
    caller's monotonic clock.

    Attributes:
        answered: whether what failed last was answered, though with errors: then a box that answers is not yet well.
    """

    def __init__(self, *, failures: int = 3, open_s: float = 0.25, max_open_s: float = 2.0) -> None:
        """Begin closed.

        Raises:
            ConfigurationError: no failure to count, or times that are no times.
        """
        if failures < 1 or not 0 < open_s <= max_open_s:
            raise ConfigurationError(
                f"failures={failures}, open_s={open_s}, max_open_s={max_open_s}: "
                "at least 1, and 0 < open_s <= max_open_s, are needed"
            )
        self._limit = failures
        self._open_s = open_s
        self._max_open_s = max_open_s
        self._failures = 0
        self._openings = 0
        self.answered = False
        self._until: float | None = None  # None: closed

    @property
    def closed(self) -> bool:
        """Whether the box is taken to be well."""
        return self._until is None

    def wait_s(self, now: float) -> float:
        """Seconds until something may be tried; 0: now."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def allow(self, now: float) -> bool:
        """Whether to try now. When it was open, this is the one probe: nothing else is let through until it is decided.

        A probe that is never decided counts as failed after the time it would have stayed open for.
        """
        if self._until is None:
            return True
        if now < self._until:
            return False
        self._until = now + self._max_open_s
        return True

    def success(self) -> None:
        """The box took what it was given."""
        self._failures = self._openings = 0
        self.answered = False
        self._until = None

    def failure(self, now: float, *, answered: bool = False) -> None:
        """The box did not answer, or (``answered``) only with errors of its own."""
        self._failures += 1
        self.answered = answered
        if self._failures >= self._limit:
            doublings = min(self._openings, 30)
            self._until = now + min(self._open_s * 2**doublings, self._max_open_s)
            self._openings += 1
