"""Putting the jobs of committed transactions into the queue: counted whatever happens, never the request's error."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from realtime_core.hooks.metrics import ACCEPTED, DUPLICATE, JOBS, LOST
from realtime_core.queue import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.queue import Job, Queue

HOP_IN: Final = "hooks>queue"
HOP_OUT: Final = "queue>pipeline"

_log = logging.getLogger(__name__)


class Ledger(Protocol):
    """The part of the ledger that a producer counts into."""

    def sent(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        """Count +1 for each id, at the event's time (seconds UTC)."""

    def received(self, hop: str, ids: Sequence[str], at: Sequence[float]) -> None:
        """Count -1 for each id."""

    def name(self, ids: Sequence[str]) -> None:
        """Remember full ids."""

    def flush(self) -> None:
        """Write what was counted."""


class Producer:
    """Puts batches of committed events. One a process; threads may share it.

    The put happens in the request's thread: give its Redis client a short ``socket_timeout`` and few retries, because a
    dead server costs every request that saves something as long as they take.

    Attributes:
        lost: events that were committed and did not get into the queue.
    """

    def __init__(self, queue: Queue, ledger: Ledger | None = None) -> None:
        """Nothing is sent yet; with a ledger every event is counted into ``hooks>queue`` and ``queue>pipeline``."""
        self.lost = 0
        self._queue = queue
        self._ledger = ledger
        self._lock = Lock()

    def put(self, events: Sequence[tuple[Job, float]]) -> None:
        """Put the jobs of one transaction, each with its event's time (seconds UTC), in one batch. Raises nothing.

        A transaction of more than 10,000 events makes several batches.
        """
        for first in range(0, len(events), MAX_BATCH):
            self._put_batch(events[first : first + MAX_BATCH])

    def lose(self, count: int, why: str) -> None:
        """Count events that will not get into the queue, and log the exception that is being handled."""
        with self._lock:
            self.lost += count
        JOBS.labels(outcome=LOST).inc(count)
        _log.exception("%d event(s) lost: %s", count, why)

    def _put_batch(self, events: Sequence[tuple[Job, float]]) -> None:
        jobs = [job for job, _ in events]
        ids = [job.id for job in jobs]
        at = [moment for _, moment in events]
        self._count_fired(ids, at)
        try:
            taken = self._queue.put(jobs)
        except Exception:  # noqa: BLE001 - whatever is wrong with the queue, the request has committed and must end well
            self.lose(len(jobs), "the put failed")
            return
        JOBS.labels(outcome=ACCEPTED).inc(sum(taken))
        JOBS.labels(outcome=DUPLICATE).inc(len(taken) - sum(taken))
        self._count_put(ids, at)

    def _count_fired(self, ids: Sequence[str], at: Sequence[float]) -> None:
        if self._ledger is None:
            return
        try:
            self._ledger.sent(HOP_IN, ids, at)
            self._ledger.name(ids)
        except Exception:  # noqa: BLE001 - counting must not break the request either
            _log.exception("%d event(s) not counted in the ledger", len(ids))

    def _count_put(self, ids: Sequence[str], at: Sequence[float]) -> None:
        """Count all of them: an id is used once, so a duplicate is an earlier try of this put whose reply was lost."""
        if self._ledger is None:
            return
        try:
            self._ledger.received(HOP_IN, ids, at)
            self._ledger.sent(HOP_OUT, ids, at)
            self._ledger.flush()
        except Exception:  # noqa: BLE001 - counting must not break the request either
            _log.exception("%d event(s) not counted in the ledger", len(ids))
