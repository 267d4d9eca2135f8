"""What puts come to in the books: counts for the ledger and objects for the trace, gathered and then written for many puts."""

from __future__ import annotations

import logging
import os
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from weakref import WeakSet

from realtime_core.hooks.trace import subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_core.hooks.event import Captured
    from realtime_core.hooks.trace import Trace

T = TypeVar("T")
HOP_IN: Final = "hooks>queue"
HOP_OUT: Final = "queue>pipeline"
# Counting many at once costs about half of counting each put's few; more than these are not left waiting for a write.
GATHERED: Final = 2_000
AT_ONCE: Final = 250
# Objects that wait for a trace that does not take them: those of ten seconds at 10,000 events a second.
MOST_NOTED: Final = 100_000

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


class Books:
    """Those of one producer. Any thread may call; nothing is raised. A forked child begins empty: the rest is its parent's.

    Attributes:
        began: whether there is anything of this process.
    """

    def __init__(self, ledger: Ledger | None, trace: Trace | None) -> None:
        """Nothing is counted yet; either may be None."""
        self._ledger = ledger
        self._trace = trace
        self.begin()
        _all.add(self)

    def begin(self) -> None:
        """Forget what was gathered."""
        self._counting = RLock()  # not held while Redis is asked or something is logged; taken again by signal handlers
        self._fired: deque[Captured] = deque()
        self._taken: deque[Captured] = deque()
        self._noted: deque[tuple[str, float]] = deque()
        self._unnoted = 0
        self.began = False
        self._written = True  # the account, the last time

    def fired(self, events: Sequence[Captured]) -> None:
        """These are about to be put."""
        self.began = True
        self._fired.extend(events)
        if len(self._fired) > GATHERED:
            self.count()

    def taken(self, events: Sequence[Captured]) -> None:
        """The queue has these. Said after the put: what a crash leaves out is named though it was put, which harms less."""
        self._taken.extend(events)
        if len(self._taken) > GATHERED:
            self.count()

    def count(self) -> None:
        """Count what was gathered."""
        failures: list[tuple[int, Exception]] = []
        with self._counting:
            ready = len(self._taken)  # what is taken by now was fired before
            self._each(self._fired, len(self._fired), fire, failures)
            self._each(self._taken, ready, self._take, failures)
        # Not before: a log handler may save something, and be another thread's that waits to count.
        for some, error in failures:
            _log.error("%d event(s) not counted in the ledger", some, exc_info=error)

    def _each(
        self,
        gathered: deque[Captured],
        left: int,
        step: Callable[[Ledger | None, Sequence[Captured]], None],
        failures: list[tuple[int, Exception]],
    ) -> None:
        """Some at a time: a request that is broken off in the middle costs the others no more than those."""
        while some := _drained(gathered, min(left, AT_ONCE)):
            left -= len(some)
            try:
                step(self._ledger, some)
            except Exception as error:  # noqa: BLE001 - counting must not break the request
                failures.append((len(some), error))

    def _take(self, ledger: Ledger | None, events: Sequence[Captured]) -> None:
        if self._trace is not None:
            self._noted.extend([(subject(event.model, event.key), event.at) for event in events])
            self._unnoted += len(_drained(self._noted, len(self._noted) - MOST_NOTED))
        take(ledger, events)

    def write(self) -> None:
        """Count it, and write account and trace. One thread at a time."""
        self.count()
        self._written = flush(self._ledger)
        self._note()

    def close(self) -> None:
        """Mark the account as complete, if it is written: else it stays open, which is what readers are told."""
        if self._ledger is None or not self._written:
            return
        try:
            self._ledger.close()
        except Exception:  # noqa: BLE001 - it stays open
            _log.exception("the account was not closed")

    def _note(self) -> None:
        with self._counting:
            noted, unnoted, self._unnoted = _drained(self._noted, MOST_NOTED), self._unnoted, 0
        if unnoted:
            _log.error("%d event(s) were put and are not in the trace: too many waited for it", unnoted)
        if self._trace is None or not noted:
            return
        try:
            self._trace.note(noted)
        except Exception:  # noqa: BLE001 - remembering must not break the request
            _log.exception("%d event(s) were put and are not in the trace", len(noted))
        except BaseException:  # this request is broken off; the others' events come with the next
            self._noted.extendleft(reversed(noted))
            raise


def fire(ledger: Ledger | None, events: Sequence[Captured]) -> None:
    """Count events as sent on ``hooks>queue``."""
    if ledger is not None and events:
        ids = [event.job.id for event in events]
        ledger.sent(HOP_IN, ids, [event.at for event in events])
        ledger.name(ids)


def take(ledger: Ledger | None, events: Sequence[Captured]) -> None:
    """Count events as received by the queue and sent on ``queue>pipeline``.

    All of them: an id is used once, so a duplicate is an earlier try of this put whose reply was lost.
    """
    if ledger is not None and events:
        ids, at = [event.job.id for event in events], [event.at for event in events]
        ledger.received(HOP_IN, ids, at)
        ledger.sent(HOP_OUT, ids, at)


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


def _drained(gathered: deque[T], most: int) -> list[T]:
    """Up to ``most`` from the left, which a signal handler may be taking too."""
    found: list[T] = []
    while len(found) < most:
        try:
            found.append(gathered.popleft())
        except IndexError:
            break
    return found


_all: Final[WeakSet[Books]] = WeakSet()


def _after_fork() -> None:
    for books in list(_all):
        books.begin()


os.register_at_fork(after_in_child=_after_fork)
