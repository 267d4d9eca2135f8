"""Holds the fast reader against the exact one: a sample of the streams is read by both. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.deliveries import Deliveries
    from darktime.blast.link import Link
    from darktime.blast.marks import Arrival, Marks


class Crosscheck:
    """``share`` of the links are read twice, evenly over all; ``sampled`` are those."""

    def __init__(self, links: Sequence[Link], share: float, marks: Marks) -> None:
        every = max(round(1 / share), 1) if share > 0 else len(links) + 1
        self.sampled = set(links[::every])
        self._marks = marks
        self._readers: dict[Link, StreamReader] = {}  # of those that have a connection

    def __contains__(self, link: Link) -> bool:
        """Whether its stream is being read twice."""
        return link in self._readers

    def begin(self, link: Link) -> None:
        """A reply begins on its connection."""
        if link in self.sampled:
            self._readers[link] = StreamReader()

    def feed(self, link: Link, received: bytes) -> list[int] | None:
        """The numbers of the events that the exact reader reads; None for a stream that is not checked.

        Raises WireError.
        """
        reader = self._readers.get(link)
        if reader is None:
            return None
        return [number for event in reader.feed(received) for number in self._marks.numbers(event.data)]

    def end(self, link: Link) -> None:
        """Its connection has gone."""
        self._readers.pop(link, None)


def compare(arrival: Arrival, exact: Sequence[int], deliveries: Deliveries) -> None:
    """Count what the exact reader read, and what the two do not agree on."""
    fast = [mark.number for mark in arrival.marks]
    deliveries.checked += len(exact)
    if fast != exact:
        same = sum(one == other for one, other in zip(fast, exact, strict=False))
        deliveries.differed += max(len(fast), len(exact)) - same
