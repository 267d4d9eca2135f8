"""What a faulty push server does to a row of events: loses, doubles and swaps every Kth. Pure."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Event = TypeVar("Event")


class Fate(NamedTuple, Generic[Event]):
    """What is sent now, and what was done to the row."""

    events: list[Event]
    dropped: int = 0
    duplicated: int = 0
    swapped: int = 0  # pairs that go out in the wrong order


class Disorder(Generic[Event]):
    """Counts the events of one row from ``start`` + 1 on; every ``drop``-th is lost and so on, 0: none.

    What is swapped with its successor is held back until that comes, or until ``release``.
    """

    def __init__(self, *, drop: int = 0, duplicate: int = 0, swap: int = 0, start: int = 0) -> None:
        """Raises ValueError for swapping every first."""
        if swap == 1:
            raise ValueError("swap every 1: an event cannot be swapped with one that is swapped itself; 2 or more")
        self._drop, self._duplicate, self._swap = drop, duplicate, swap
        self._number = start
        self.held: Event | None = None

    def take(self, event: Event) -> Fate[Event]:
        """The next event."""
        number = self._number = self._number + 1
        held, self.held = self.held, None
        late = [] if held is None else [held]
        if self._drop and number % self._drop == 0:
            return Fate(late, dropped=1)
        if self._swap and number % self._swap == 0:
            self.held = event
            return Fate(late)
        if self._duplicate and number % self._duplicate == 0:
            return Fate([event, event, *late], duplicated=1, swapped=len(late))
        return Fate([event, *late], swapped=len(late))

    def release(self) -> Fate[Event]:
        """No successor has come: what is held goes out as if nothing had been."""
        held, self.held = self.held, None
        return Fate([] if held is None else [held])
