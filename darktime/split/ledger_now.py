"""How the ledger of a running split stands: of each hop what was sent, received and explained, and what does not come to zero.

What is on its way is in no hop twice, so it looks like a loss: only requests that began some time ago are counted, and of
streams and replies that last it is said how many are held.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from darktime.split.commands import RECORDED
from darktime.split.saved import JUDGED_HOPS
from realtime_core.ledger import balance, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from realtime_core.ledger import HopBalance

SETTLED_S: Final = 15.0  # a reply may take ten, the relay's sweep and flush half a second each
_EVERY_S: Final = 2.0
_SHARE: Final = 20  # a long run's ledger takes long to be read: it is done that much more rarely
_HOPS: Final = JUDGED_HOPS | {RECORDED}


class LedgerNow:
    """The ledger of that name in a Redis. ``settled_s``: what began later is left out."""

    def __init__(self, redis: Redis, name: str, *, settled_s: float = SETTLED_S) -> None:
        self._redis = redis
        self._name = name
        self._settled_s = settled_s
        self._next = 0.0
        self._found: dict[str, Any] | None = None

    def look(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """As the status tells it; None where the Redis does not answer. ``state``: the relay's."""
        began = time.monotonic()
        if began >= self._next:
            until = time.time() - self._settled_s
            try:
                found = balance(read(self._redis, self._name, until=until, names=False))
            except RedisError:
                self._found = None
            else:
                hops = [_told(one) for one in found if one.hop in _HOPS]
                self._found = {"settled_s": self._settled_s, "hops": hops}
            ended = time.monotonic()
            self._next = ended + max(_EVERY_S, _SHARE * (ended - began))
        return (
            None if self._found is None else self._found | {"held": state.get("streams", 0) + state.get("lasting", 0)}
        )


def _told(hop: HopBalance) -> dict[str, Any]:
    missing, extra = (sum(item.times for item in items) for items in (hop.missing, hop.extra))
    return {
        "hop": hop.hop,
        "sent": hop.sent,
        "received": hop.received,
        "explained": sum(hop.explained.values()),
        "missing": missing,
        "extra": extra,
        "undecoded": hop.undecoded,
        "residual": missing + extra + hop.undecoded,
        "balanced": hop.balanced,
    }
