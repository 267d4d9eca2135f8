"""The dark instances of one relay: a user always goes to the same one; each has its own pool, queue and breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.split.dark_side import tls_context
from darktime.split.relay.dark import Dark
from darktime.split.relay.dial import Dialer

if TYPE_CHECKING:
    from darktime.split.dark_side import DarkSide
    from darktime.split.relay.copies import Copy
    from darktime.split.relay.later import Later
    from darktime.split.relay.outcomes import Outcomes
    from darktime.split.relay.settings import Limits
    from darktime.wire.poller import Poller


class Darks:
    """As one ``Dark``, over all of them. Raises UsageError for a host that nobody knows."""

    def __init__(
        self, side: DarkSide, limits: Limits, poller: Poller, outcomes: Outcomes, later: Later | None = None
    ) -> None:
        context = tls_context(side)
        self._all = [
            Dark(Dialer(one, context), limits, poller, outcomes, connections=side.connections, later=later)
            for one in side.instances
        ]
        self._only = self._all[0] if len(self._all) == 1 else None

    @property
    def instances(self) -> int:
        """How many there are."""
        return len(self._all)

    def submit(self, copy: Copy, payload: bytes, user: str, now: float) -> None:
        """Send a copy on to the instance of this user's mark, when it can be."""
        (self._only or self._all[share(user, len(self._all))]).submit(copy, payload, now)

    def end(self, request_id: str, now: float, *, aborted: bool) -> None:
        """Production has ended a request."""
        if self._only is not None:
            self._only.end(request_id, now, aborted=aborted)
            return
        for one in self._all:  # of one a table is asked: whose it was need not be kept
            one.end(request_id, now, aborted=aborted)

    def ready(self, fd: int, mask: int, now: float) -> bool:
        """A descriptor is ready; False if it is none of theirs."""
        if self._only is not None:
            return self._only.ready(fd, mask, now)
        return any(one.ready(fd, mask, now) for one in self._all)

    def holds(self, request_id: str) -> bool:
        """Whether that copy's stream is held."""
        return any(one.holds(request_id) for one in self._all)

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        for one in self._all:
            one.sweep(now)

    def let_all_go(self, now: float) -> bool:
        """Take nothing more to send, and end all streams; True when none is left."""
        return all([one.let_all_go(now) for one in self._all])  # noqa: C419 - each must hear of it

    def close(self) -> None:
        """Close every connection."""
        for one in self._all:
            one.close()

    def told(self) -> dict[str, Any]:
        """Their counters, for the state: together, and each."""
        each = [one.told() for one in self._all]
        sums = ("queued", "in_flight", "lasting", "streams", "streams_cut", "breaker_trips")
        return {
            **{name: sum(one[name] for one in each) for name in sums},
            "breaker": next((one["breaker"] for one in each if one["breaker"]), None),
            "instances": each,
        }


def share(user: str, instances: int) -> int:
    """Which of so many instances a user's mark belongs to. A mark is 16 hex digits of an HMAC: evenly spread as it is."""
    return int(user, 16) % instances
