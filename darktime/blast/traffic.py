"""What one worker has open at the instance: a load that takes planned sends, and streams that listen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from darktime.blast.connections import turns_away
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.cohort import Cohort
    from darktime.blast.counts import Counts
    from darktime.blast.streams import Streams

OPEN_TIMEOUT_S = 10.0
# Opening takes some 50 µs a socket on both sides together; a slow instance gets a multiple of it.
OPEN_TIMEOUT_PER_SOCKET_S = 0.002
# An instance that turns others away, and has taken nobody for so long, takes no more.
STILL_S = 3.0


class Load(Protocol):
    """Takes planned sends and counts how they end; a RequestPool, for one."""

    closed_model: bool
    in_flight: int
    counts: Counts

    @property
    def waiting(self) -> int:
        """Due, and not sent yet because every connection is busy."""

    @property
    def standing(self) -> bool:
        """As many connections stand as are wanted before the first send."""

    @property
    def open_connections(self) -> int:
        """Connections that stand."""

    @property
    def served_connections(self) -> int:
        """Those that stand and have had a reply."""

    @property
    def ended(self) -> tuple[int, int]:
        """Sends that ended since the last ``take``, and how many of them failed."""

    def open(self) -> None:
        """Begin to connect."""

    def submit(self, planned: float) -> bool:
        """Send what was planned for then (monotonic seconds), now or when a connection is free; False: not taken."""

    def start_closed(self) -> None:
        """Let every free connection send."""

    def drop_waiting(self) -> int:
        """Forget what waits; how many they were."""

    def abandon(self, reason: str) -> int:
        """Count what is in flight as failed; how many they were."""

    def take(self) -> Counts:
        """What was counted since the last time."""

    def close(self) -> None:
        """Close every connection."""


class Traffic:
    """``method`` and ``name`` is how Locust lists the load's requests. ``wanted``: streams that are to be served.

    ``connects_per_s``: how fast they and the load's connections may come.
    """

    def __init__(
        self,
        load: Load,
        streams: Streams | None = None,
        *,
        method: str,
        name: str,
        wanted: int = 0,
        size: int = 0,
        connects_per_s: float | None = None,
    ) -> None:
        self.load = load
        self.streams = streams
        self.method = method
        self.name = name
        self.wanted = wanted
        self.size = size
        self._paced_s = max(size, wanted) / connects_per_s if connects_per_s else 0.0
        self._taken, self._taken_at = -1, 0.0  # streams, at the last look that saw another number

    def open(self, cohort: Cohort, authority: str, stop: Callable[[], bool]) -> None:
        """Connect and subscribe, until all stand, or as many as an instance takes that turns the others away.

        Raises UsageError when it does not take them in time, and does not say so.
        """
        self.load.open()
        limit_s = OPEN_TIMEOUT_S + OPEN_TIMEOUT_PER_SOCKET_S * (self.size + self.wanted) + self._paced_s
        until = time.monotonic() + limit_s
        while time.monotonic() < until and not stop():
            if self.load.standing and (self.streams is None or self.streams.open >= self.wanted):
                return
            if self._full(time.monotonic()):
                break
            cohort.turn(min(until - time.monotonic(), STILL_S))
        if stop():
            return
        if not self.load.standing and not self.load.open_connections:
            raise UsageError(f"{authority} took none of {self.size:,} connections in {limit_s:g} s")
        if self.streams is not None and self.streams.open < self.wanted and not self._turned_away:
            reasons = self.streams.deliveries.reasons
            worst = max(reasons, key=lambda name: reasons[name], default="")
            turned = f", others ended by {worst} ({reasons[worst]:,} times)" if worst else ""
            raise UsageError(
                f"{authority} served {self.streams.open:,} of {self.wanted:,} subscribers within {limit_s:g} s{turned}: "
                f"ask for fewer with --streams, or raise the instance's limit"
            )

    @property
    def _turned_away(self) -> bool:
        return self.streams is not None and self.streams.open > 0 and turns_away(self.streams.turned_away)

    def _full(self, now: float) -> bool:
        """Whether the instance has taken all the streams that it takes."""
        if self.streams is None or not self.load.standing:
            return False
        if self.streams.open != self._taken:
            self._taken, self._taken_at = self.streams.open, now
        return self._turned_away and now > self._taken_at + STILL_S

    def close(self) -> None:
        """Close everything."""
        self.load.close()
        if self.streams is not None:
            self.streams.close()
