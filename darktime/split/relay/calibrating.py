"""The way to the dark side where the relay calibrates first: for a while copies go to a second instance of today's code.

They go as they will go to the dark instance afterwards, by a pool, a queue and a breaker of the same kind: what their times
differ in from production's is the measuring's own, on this machine, under this load. ``Darks`` of before and of after, as one.

Today's code may hold what people live by, so it is asked for nothing but GET and HEAD. It is one instance, so it gets what
one of several dark instances will get: the copies of that one's users. All others go to the dark side from the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.split.relay.darks import share
from darktime.split.settings import SAFE

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.relay.copies import Copy
    from darktime.split.relay.darks import Darks


class Calibrating:
    """``today`` gets the copies of the first ``seconds``, counted from the first copy on; ``dark`` gets those after them.

    At most ``most`` copies calibrate at once: one more would go to the dark instance, and calibration is over. ``wanted``:
    whether an answer to a copy is still of use.
    """

    def __init__(self, today: Darks, dark: Darks, *, seconds: float, most: int, wanted: Callable[[str], bool]) -> None:
        self._today = today
        self._dark = dark
        self._wanted = wanted
        self._seconds = seconds
        self._most = most
        self._until: float | None = None
        self._under_way: set[str] = set()
        self.pairs = 0

    def lasts(self, now: float) -> bool:
        """Whether a copy that comes now calibrates."""
        if self._until is None:
            self._until = now + self._seconds
        if len(self._under_way) >= self._most:
            self._until = now
        return now < self._until

    def paired(self, request_id: str) -> bool:
        """A pair is there: whether it calibrates."""
        ours = self.failed(request_id)
        self.pairs += ours
        return ours

    def failed(self, request_id: str) -> bool:
        """A copy goes no further: whether it was one that calibrates."""
        if request_id not in self._under_way:
            return False
        self._under_way.remove(request_id)
        return True

    def settled(self, request_id: str) -> None:
        """Something was heard of a copy: if it is through, and was no pair, it calibrates no more."""
        if request_id in self._under_way and not self._wanted(request_id):
            self._under_way.remove(request_id)

    def submit(self, copy: Copy, payload: bytes, user: str, now: float) -> None:
        """Send a copy to where copies of its kind go now."""
        if self.lasts(now) and copy.method in SAFE and not share(user, self._dark.instances):
            self._under_way.add(copy.id)
            self._today.submit(copy, payload, user, now)
        else:
            self._dark.submit(copy, payload, user, now)

    def end(self, request_id: str, now: float, *, aborted: bool) -> None:
        """Production has ended a request; of one a table is asked, so whose it was need not be kept."""
        if aborted:
            self._under_way.discard(request_id)
        self.settled(request_id)
        self._today.end(request_id, now, aborted=aborted)
        self._dark.end(request_id, now, aborted=aborted)

    def ready(self, fd: int, mask: int, now: float) -> bool:
        """A descriptor is ready; False if it is none of theirs."""
        return self._dark.ready(fd, mask, now) or self._today.ready(fd, mask, now)

    def holds(self, request_id: str) -> bool:
        """Whether that copy's stream is held."""
        return self._dark.holds(request_id) or self._today.holds(request_id)

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        self._today.sweep(now)
        self._dark.sweep(now)

    def let_all_go(self, now: float) -> bool:
        """Take nothing more to send, and end all streams; True when none is left."""
        gone = self._today.let_all_go(now)
        return self._dark.let_all_go(now) and gone

    def close(self) -> None:
        """Close every connection."""
        self._today.close()
        self._dark.close()

    def told(self) -> dict[str, Any]:
        """The counters of both together; instances and breaker are the dark side's. ``calibration``: how far it is."""
        today, dark = self._today.told(), self._dark.told()
        sums = ("queued", "in_flight", "lasting", "streams", "streams_cut", "breaker_trips")
        return {
            **{name: today[name] + dark[name] for name in sums},
            "breaker": dark["breaker"],
            "instances": dark["instances"],
            "calibration": {
                "seconds": self._seconds,
                "pairs": self.pairs,
                "under_way": len(self._under_way),
                "breaker": today["breaker"],
            },
        }
