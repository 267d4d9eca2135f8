"""The relay's books: what it counts on its three hops, handed to the ledger in batches, flushed by a thread of its own.

A Redis that hangs holds up that thread, and nothing else.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from darktime.split.relay.records import COMPARED, MIRROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.compare import Pair
    from darktime.split.relay.settings import RelaySettings
    from realtime_core.ledger import Ledger

_FLUSH_EVERY_S: Final = 0.25
_REDIS_TIMEOUT_S: Final = 0.8  # below what is left of two seconds when the relay is told to stop
_SENT: Final = "sent"
_RECEIVED: Final = "received"
log = logging.getLogger(__name__)


class Books:
    """Takes counts by id and time of event; ``settle`` hands them on. ``on_pair`` gets each pair."""

    def __init__(self, settings: RelaySettings, on_pair: Callable[[Pair], None]) -> None:
        self._hops = {MIRROR: settings.hops.mirror, COMPARED: settings.hops.compared}
        self._events_hop = settings.hops.events
        self._waiting: dict[tuple[str, str], tuple[list[str], list[float]]] = {}
        self._on_pair = on_pair
        self._ledger = _ledger(settings) if settings.ledger else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_flushing, name="ledger", daemon=True)
        self.flush_failures = 0
        self.closed = False
        if self._ledger is not None:
            self._thread.start()

    def sent(self, hop: str, request_id: str, at: float) -> None:
        """Count a +1."""
        self._count(_SENT, self._hops[hop], request_id, at)

    def received(self, hop: str, request_id: str, at: float) -> None:
        """Count a -1."""
        self._count(_RECEIVED, self._hops[hop], request_id, at)

    def explained(self, hop: str, request_id: str, at: float, reason: str) -> None:
        """Count one that left for a reason."""
        self._count(reason, self._hops[hop], request_id, at)

    def paired(self, pair: Pair) -> None:
        """Hand a pair on."""
        self._on_pair(pair)

    def event(self, name: str, at: float) -> None:
        """Count an event that a held stream brought."""
        self._count(_RECEIVED, self._events_hop, name, at)

    def settle(self) -> None:
        """Hand everything to the ledger; to be called once a turn of the loop."""
        if not self._waiting or self._ledger is None:
            return
        waiting, self._waiting = self._waiting, {}
        for (side, hop), (ids, times) in waiting.items():
            if side == _SENT:
                self._ledger.sent(hop, ids, times)
                if hop == self._hops[MIRROR]:  # each of the next hop's is one of these: the ledger keeps so many names
                    self._ledger.name(ids)
            elif side == _RECEIVED:
                self._ledger.received(hop, ids, times)
            else:
                self._ledger.explained(hop, ids, times, side)

    def close(self, timeout_s: float) -> None:
        """Flush and close the account; ``closed`` says whether that was done in time."""
        self.settle()
        self._stop.set()
        if self._ledger is not None:
            self._thread.join(timeout_s)

    def _count(self, side: str, hop: str, name: str, at: float) -> None:
        entry = self._waiting.get((side, hop))
        if entry is None:
            entry = self._waiting[side, hop] = ([], [])
        entry[0].append(name)
        entry[1].append(at)

    def _keep_flushing(self) -> None:
        ledger: Any = self._ledger
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_FLUSH_EVERY_S)
            try:
                if stopping:
                    ledger.close()
                    self.closed = True
                else:
                    ledger.flush()
            except Exception as error:  # noqa: BLE001 - whatever Redis does, the next flush carries it all
                self.flush_failures += 1
                if self.flush_failures == 1:
                    log.warning("the ledger cannot be written: %s", error)


class NoBooks(Books):
    """Where there is no ledger nothing is counted for one; pairs are handed on."""

    def sent(self, hop: str, request_id: str, at: float) -> None:
        """Nobody asks."""

    def received(self, hop: str, request_id: str, at: float) -> None:
        """Nobody asks."""

    def explained(self, hop: str, request_id: str, at: float, reason: str) -> None:
        """Nobody asks."""

    def event(self, name: str, at: float) -> None:
        """Nobody asks."""


def _ledger(settings: RelaySettings) -> Ledger:
    from redis import Redis  # noqa: PLC0415 - a relay without a ledger does not pay for it
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    from realtime_core.ledger import Ledger  # noqa: PLC0415

    redis = Redis.from_url(
        settings.ledger or "",
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Ledger(redis, settings.ledger_name, settings.owner)
