"""The boxes that every event goes to: required ones are waited for, best-effort ones never are."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Flag

from realtime_core.errors import ConfigurationError
from realtime_core.publish.lane import Lane
from realtime_core.publish.metrics import PublishMetrics
from realtime_core.publish.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

    from realtime_core.publish.box import Box
    from realtime_core.publish.events import Event
    from realtime_core.publish.lane import Late
    from realtime_core.publish.outcome import Outcome

HOLD_S: Final = 10.0
LINE_EVENTS: Final = 4_096


class Fleet:
    """Publishes to all boxes at the same time, each in order. For one greenlet at a time; ``close`` it at the end.

    Attributes:
        required: names of the boxes that ``publish`` answers for.
        best_effort: names of the others.
        longest_s: how long a ``publish`` may take.
        offered: events given to best-effort boxes so far; a twin counts its own.
    """

    def __init__(
        self,
        boxes: Sequence[Box],
        *,
        late: Late | None = None,
        hold_s: float = HOLD_S,
        line_events: int = LINE_EVENTS,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Set up, and start a greenlet for each best-effort box.

        Args:
            boxes: names may not repeat.
            late: told what became of events at a best-effort box, ``late(box name, events, outcomes)``, once each.
            hold_s: how long events wait in place, and so in order, for a required box that is away.
            line_events: most events that wait for one best-effort box; what comes beyond is shed.
            registry: where metrics are exported.

        Raises:
            ConfigurationError: two boxes of one name, none at all, or limits that are none.
        """
        names = [box.name for box in boxes]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"boxes {names}: at least one is needed, each with a name of its own")
        if hold_s < 0 or line_events < 1:
            raise ConfigurationError(f"hold_s={hold_s}, line_events={line_events}: at least 0 and 1 are needed")
        self.metrics = PublishMetrics(registry)
        self._hold_s = hold_s
        self._stop = Flag()
        self._required = [Tries(box, self.metrics) for box in boxes if box.required]
        self._lanes = [
            Lane(Tries(box, self.metrics), late or _nobody, self.metrics, limit=line_events)
            for box in boxes
            if not box.required
        ]
        self._twin = False
        self.offered = 0
        self.required = tuple(tries.box.name for tries in self._required)
        self.best_effort = tuple(lane.name for lane in self._lanes)
        self.longest_s = hold_s + max((box.timeout_s for box in boxes if box.required), default=0.0)

    def twin(self) -> Fleet:
        """The same boxes for another greenlet: required ones over connections of its own, behind the same breakers.

        Best-effort lines, counters and ``stop_waiting`` are shared; the first one's ``close`` ends them.
        """
        other = copy(self)
        other._twin = True  # noqa: SLF001 - of the same class
        other._required = [  # noqa: SLF001
            Tries(tries.box.another(), self.metrics, tries.breaker) for tries in self._required
        ]
        return other

    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        """Give the events to every box; what became of them at each required one, by its name.

        Best-effort boxes are not waited for: ``late`` hears of them.
        """
        if not events:
            return {name: [] for name in self.required}
        for lane in self._lanes:
            lane.offer(events)
        self.offered += len(events)
        trying = {
            tries.box.name: gevent.spawn(tries.patiently, events, self._hold_s, self._stop) for tries in self._required
        }
        try:
            gevent.joinall(list(trying.values()), raise_error=True)
            return {name: greenlet.get() for name, greenlet in trying.items()}
        finally:
            gevent.killall(list(trying.values()))

    def listen(self, late: Late) -> None:
        """From now on tell ``late`` what became of events at best-effort boxes."""
        for lane in self._lanes:
            lane.late = late

    def ready(self) -> bool:
        """Whether every required box is taken to be well. One that was away is asked first: that may take its limit."""
        return all(tries.ready() for tries in self._required)

    def stop_waiting(self) -> None:
        """From now on wait for no box that is away: what it does not take at once has failed."""
        self._stop.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Give each best-effort line up to ``timeout_s`` to empty, shed the rest, end all connections."""
        if self._twin:
            self._end_connections()
            return
        self._stop.set()
        closing = [gevent.spawn(lane.close, timeout_s) for lane in self._lanes]
        gevent.joinall(closing)
        self._end_connections()

    def _end_connections(self) -> None:
        for tries in self._required:
            tries.box.close()


def _nobody(_box: str, _events: Sequence[Event], _outcomes: Sequence[Outcome]) -> None:
    """Nobody wants to know."""
