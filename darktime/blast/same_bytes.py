"""Bytes that a server sends to many subscribers alike: read once, remembered, and counted in bulk. Pure.

Only bytes that begin and end between two events mean the same on every stream; no others are remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.event_text import whole_text
from darktime.blast.marks import NOTHING, Arrival, Mark

if TYPE_CHECKING:
    from darktime.blast.delays import Delays
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.marks import Marks

# What is remembered between two folds, at most.
MAX_BYTES = 1_048_576


class SameBytes:
    """``arrivals``: what they say, by the bytes. Whoever gets them adds its time to ``Arrival.times``.

    ``me``: the publisher whose account stands in the link itself. ``full_read``: a read of so many bytes was cut short.
    """

    def __init__(self, marks: Marks, *, me: int, full_read: int) -> None:
        self.arrivals: dict[bytes, Arrival] = {}
        self._marks = marks
        self._me = me
        self._full_read = full_read
        self._bytes = 0

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may be remembered before the next fold."""
        return self._bytes + size <= MAX_BYTES

    def learn(self, received: bytes, *, chunked: bool) -> Arrival | None:
        """Read bytes that begin between two events, and remember them; None when they do not end so."""
        again = self.arrivals.get(received)
        if again is not None:  # the same bytes twice on a stream that shares them with nobody: a duplicate
            return again
        one = self._marks.one(received, chunked=chunked)
        if one is not None:
            last_id, channel, publisher, at, number = one
            arrival = Arrival([Mark(channel, publisher, at, number)], last_id, None, 0)
        else:
            found = whole_text(received, chunked=chunked)
            if found is None:
                return None
            arrival = self._marks.read(*found)
        arrival.size = len(received)
        if arrival.retry_s is not None:  # a wait is kept with the stream
            arrival.first = NOTHING
        elif arrival.publisher != self._me:  # and so is another's account
            arrival.others_first, arrival.first = arrival.first, NOTHING
        self._bytes += arrival.size
        self.arrivals[received] = arrival
        return arrival

    def fold(self, deliveries: Deliveries, delays: Delays) -> None:
        """Count what the remembered bytes brought, and forget them."""
        latencies, seen, me = delays.latencies, delays.spreads.seen, self._me
        for arrival in self.arrivals.values():
            times = arrival.times
            if not times:
                continue
            many = len(times)
            deliveries.bytes += arrival.size * many
            deliveries.reads += many
            deliveries.backlog_reads += many if arrival.size == self._full_read else 0
            deliveries.comments += arrival.comments * many
            deliveries.delivered += len(arrival.marks) * many
            of = delays.readers[arrival.channel]
            first, last = times[0], times[-1]
            for channel, publisher, at, number in arrival.marks:
                if publisher != me:
                    deliveries.from_others += many
                if many == 1:
                    latencies.append(first - at)
                else:
                    latencies += [now - at for now in times]
                if of > 1:
                    seen((publisher, channel, number), first, last, times=many, of=of)
        self.arrivals.clear()
        self._bytes = 0
