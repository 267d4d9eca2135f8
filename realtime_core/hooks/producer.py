"""Putting the jobs of committed transactions into the queue: counted whatever happens, never the request's error."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from realtime_core.hooks.afterwards import Afterwards
from realtime_core.hooks.metrics import ACCEPTED, DUPLICATE, JOBS, LOST
from realtime_core.hooks.trace import subject
from realtime_core.queue import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.hooks.event import Captured
    from realtime_core.hooks.trace import Trace
    from realtime_core.queue import Queue

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

    def close(self) -> None:
        """Write it, and mark the account as complete."""


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
        self._ledger = ledger
        self._trace = trace
        self._lock = Lock()
        self._noted: deque[tuple[str, float]] = deque()  # without a lock, which a fork could find held
        self._afterwards = Afterwards(self._write)
        self._written = True  # the account, the last time
        self._process = 0  # that counted something
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
        if self._process != os.getpid():  # what a fork's parent counted is the parent's
            return
        self.flush()
        try:
            if self._ledger is not None and self._written:
                self._ledger.close()
        except Exception:  # noqa: BLE001 - it stays open, which is what readers are told
            _log.exception("the account was not closed")

    def lose(self, count: int, why: str) -> None:
        """Count events that will not get into the queue, and log why, with the exception that is being handled if there is one."""
        with self._lock:
            self.lost += count
        JOBS.labels(outcome=LOST).inc(count)
        _log.error("%d event(s) lost: %s", count, why, exc_info=sys.exc_info()[0] is not None)

    def _put_batch(self, events: Sequence[Captured]) -> None:
        jobs = [event.job for event in events]
        self._process = os.getpid()
        count_fired(self._ledger, events)
        try:
            taken = self._queue.put(jobs)
        except Exception:  # noqa: BLE001 - whatever is wrong with the queue, the request has committed and must end well
            self.lose(len(jobs), "the put failed")
            return
        JOBS.labels(outcome=ACCEPTED).inc(sum(taken))
        JOBS.labels(outcome=DUPLICATE).inc(len(taken) - sum(taken))
        count_put(self._ledger, events)
        self._note(events)
        self._afterwards.ask()

    def _note(self, events: Sequence[Captured]) -> None:
        """After the put, never before it: what a crash leaves out here is named though it was put, which harms less."""
        if self._trace is not None:
            self._noted.extend((subject(event.model, event.key), event.at) for event in events)

    def _write(self) -> None:
        """What was counted and noted since the last time."""
        self._written = flush(self._ledger)
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        if self._trace is None or not noted:
            return
        try:
            self._trace.note(noted)
        except Exception:  # noqa: BLE001 - remembering must not break the request
            _log.exception("%d event(s) were put and are not in the trace", len(noted))
        except BaseException:  # this request is broken off; the others' events come with the next
            self._noted.extendleft(reversed(noted))
            raise


def count_fired(ledger: Ledger | None, events: Sequence[Captured]) -> None:
    """Count events as sent on ``hooks>queue``. Raises nothing."""
    if ledger is None:
        return
    try:
        ids = [event.job.id for event in events]
        ledger.sent(HOP_IN, ids, [event.at for event in events])
        ledger.name(ids)
    except Exception:  # noqa: BLE001 - counting must not break the request either
        _log.exception("%d event(s) not counted in the ledger", len(events))


def count_put(ledger: Ledger | None, events: Sequence[Captured]) -> None:
    """Count events as received by the queue and sent on ``queue>pipeline``. Raises nothing.

    All of them: an id is used once, so a duplicate is an earlier try of this put whose reply was lost.
    """
    if ledger is None:
        return
    try:
        ids, at = [event.job.id for event in events], [event.at for event in events]
        ledger.received(HOP_IN, ids, at)
        ledger.sent(HOP_OUT, ids, at)
    except Exception:  # noqa: BLE001 - counting must not break the request either
        _log.exception("%d event(s) not counted in the ledger", len(events))


def flush(ledger: Ledger | None) -> bool:
    """Write what was counted, and say whether it could be; the next flush carries what this one could not. Raises nothing."""
    if ledger is None:
        return True
    try:
        ledger.flush()
    except Exception:  # noqa: BLE001 - counting must not break the request either
        _log.exception("the ledger was not written")
        return False
    return True


_all: Final[WeakSet[Producer]] = WeakSet()


@atexit.register
def _close_all() -> None:
    for producer in list(_all):
        producer.close()
