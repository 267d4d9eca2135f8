"""The way to a best-effort box: a bounded line of events and one greenlet, so that nobody ever waits for that box."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Flag

from realtime_core.publish.outcome import SHED, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from realtime_core.publish.events import Event
    from realtime_core.publish.metrics import PublishMetrics
    from realtime_core.publish.outcome import Outcome
    from realtime_core.publish.tries import Tries

    Late: TypeAlias = Callable[[str, Sequence[Event], Sequence[Outcome]], None]

log = logging.getLogger(__name__)
AT_ONCE: Final = 256


class Lane:
    """Takes events at once; what does not fit is shed, and said so. One attempt an event."""

    def __init__(self, tries: Tries, late: Late, metrics: PublishMetrics, *, limit: int) -> None:
        self.name = tries.box.name
        self._tries = tries
        self.late = late
        self._limit = limit
        self._line: deque[Event] = deque()
        self._on_way: Sequence[Event] = ()
        self._filled = Flag()
        self._idle = Flag()
        self._idle.set()
        self._depth = metrics.waiting.labels(self.name)
        self._greenlet = gevent.spawn(self._run)

    def offer(self, events: Sequence[Event]) -> None:
        """Put events in line; never waits."""
        room = max(0, self._limit - len(self._line))
        self._line.extend(events[:room])
        self._depth.set(len(self._line))
        if self._line:
            self._idle.clear()
            self._filled.set()
        self._shed(events[room:])

    def close(self, timeout_s: float) -> None:
        """Wait until the line is empty, ``timeout_s`` at most; shed what is left, and end."""
        self._idle.wait(timeout_s)
        self._greenlet.kill()
        left = [*self._on_way, *self._line]
        self._line.clear()
        self._on_way = ()
        self._depth.set(0)
        self._shed(left)
        self._tries.box.close()

    def _run(self) -> None:
        while True:
            self._filled.wait()
            while self._line:
                self._on_way = [self._line.popleft() for _ in range(min(AT_ONCE, len(self._line)))]
                self._depth.set(len(self._line))
                outcomes = self._tries.once(self._on_way)
                events, self._on_way = self._on_way, ()
                self._tell(events, outcomes)
                gevent.sleep(0)  # with the breaker open nothing here waits
            self._filled.clear()
            self._idle.set()

    def _shed(self, events: Sequence[Event]) -> None:
        if events:
            outcomes = [failed(SHED)] * len(events)
            self._tries.count(outcomes)
            self._tell(events, outcomes)

    def _tell(self, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        try:
            self.late(self.name, events, outcomes)
        except Exception:  # the lane must outlive whoever listens
            log.exception("what became of %d events at %s could not be told", len(events), self.name)
