"""Putting the jobs of committed transactions into the queue: counted whatever happens, never the request's error."""

from __future__ import annotations

import atexit
import logging
import sys
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from realtime_core.hooks.afterwards import Afterwards
from realtime_core.hooks.books import Books
from realtime_core.hooks.metrics import ACCEPTED, DUPLICATE, JOBS, LOST
from realtime_core.queue import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.hooks.books import Ledger
    from realtime_core.hooks.event import Captured
    from realtime_core.hooks.trace import Trace
    from realtime_core.queue import Queue

# Found once: looking for them costs as much as counting.
_TAKEN: Final = JOBS.labels(outcome=ACCEPTED)
_KNOWN: Final = JOBS.labels(outcome=DUPLICATE)

_log = logging.getLogger(__name__)


class Producer:
    """Puts batches of committed events. One a process; threads may share it.

    The put happens in the request's thread: give its Redis client a short ``socket_timeout`` and few retries, because a
    dead server costs every request that saves something as long as they take. Account and trace are written once the put
    was taken: at once, or with those of the next 50 ms where puts come faster than that. An interpreter that ends closes it.

    Attributes:
        lost: events that were committed and did not get into the queue.
    """

    def __init__(self, queue: Queue, ledger: Ledger | None = None, *, trace: Trace | None = None) -> None:
        """Nothing is sent yet.

        Args:
            queue: takes the jobs.
            ledger: counts every event into ``hooks>queue`` and ``queue>pipeline``.
            trace: remembers which objects' events were put, for the reconciler.
        """
        self.lost = 0
        self._queue = queue
        self._books = Books(ledger, trace)
        self._lock = Lock()
        self._afterwards = Afterwards(self._books.write)
        _all.add(self)

    def put(self, events: Sequence[Captured]) -> None:
        """Put the jobs of one transaction in one batch. Raises nothing.

        A transaction of more than 10,000 events makes several batches.
        """
        for first in range(0, len(events), MAX_BATCH):
            self._put_batch(events[first : first + MAX_BATCH])

    def flush(self) -> None:
        """Write at once what there still is to be written into account and trace. Raises nothing; not for signal handlers."""
        self._afterwards.now()

    def close(self) -> None:
        """Write that, and mark the account as complete, until something is put again. Raises nothing."""
        if self._books.began:  # a forked child that put nothing has nothing to say
            self.flush()
            self._books.close()

    def lose(self, count: int, why: str) -> None:
        """Count events that will not get into the queue, and log why, with the exception that is being handled if there is one."""
        with self._lock:
            self.lost += count
        JOBS.labels(outcome=LOST).inc(count)
        _log.error("%d event(s) lost: %s", count, why, exc_info=sys.exc_info()[0] is not None)

    def _put_batch(self, events: Sequence[Captured]) -> None:
        jobs = [event.job for event in events]
        self._books.fired(events)
        try:
            taken = sum(self._queue.put(jobs))
        except Exception:  # noqa: BLE001 - whatever is wrong with the queue, the request has committed and must end well
            self._books.count()
            self.lose(len(jobs), "the put failed")
            return
        _TAKEN.inc(taken)
        if taken < len(jobs):
            _KNOWN.inc(len(jobs) - taken)
        self._books.taken(events)
        self._afterwards.ask()


_all: Final[WeakSet[Producer]] = WeakSet()


@atexit.register
def _close_all() -> None:
    for producer in list(_all):
        producer.close()
