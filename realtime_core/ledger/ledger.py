"""The ledger of one process: takes counts from any thread, and writes them to Redis when told to."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from realtime_core.errors import ConfigurationError
from realtime_core.ledger.account import RECEIVED, SENT, Account
from realtime_core.ledger.balance import HopBalance, balance
from realtime_core.ledger.hashing import key_list
from realtime_core.ledger.store import MAX_NAMES, Flush, Store, read

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from redis import Redis
    from redis.client import Pipeline

# How long flushes into other people's transactions may go without asking Redis whether they arrived.
_DOUBT_S: Final = 1.0
_POLL_S: Final = 0.05


class Ledger:
    """Counts what this process sent, received and explained, hop by hop, and flushes it when told to.

    ``owner`` names one life of one process (``push:dark#2f61``); a forked child becomes an owner of its own,
    ``OWNER+PID``, and leaves what was counted before the fork to its parent. All owners of one name must use the same
    ``window_s``. Counting never touches Redis. Where ids are asked for, the array of ``keys_of`` will do: an id is then
    hashed once for all hops of a process.
    """

    def __init__(self, redis: Redis, name: str, owner: str, *, window_s: float = 5.0, keep_s: float = 86_400.0) -> None:
        if not 0 < window_s <= keep_s:
            raise ConfigurationError(f"window_s={window_s}, keep_s={keep_s}: 0 < window_s <= keep_s is needed")
        if not 0 < len(owner) <= 200 or not owner.isprintable():  # noqa: PLR2004
            raise ConfigurationError(f"owner {owner!r}: 1 to 200 printable characters, as in push:dark#2f61")
        self.owner = owner
        self.names_dropped = 0
        self._store = Store(redis, name, keep_s=keep_s)
        self._keep_s = keep_s
        self._window_s = window_s
        self._first_owner = owner
        self._begin()
        _ledgers.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # held to append, or to pack what a flush carries
        self._flushing = threading.Lock()  # held while a flush waits for Redis; counting goes on
        self._account = Account(self._window_s)
        self._names: list[str] = []
        self._names_out: list[tuple[int, list[str]]] = []  # in transactions that are not known to have arrived
        self._names_dropped_told = self.names_dropped = 0
        self._asked_at = self._flushed_at = time.monotonic()

    def after_fork(self) -> None:
        """Begin an empty account as a new owner: called in the child, by ``os.register_at_fork``."""
        self.owner = f"{self._first_owner}+{os.getpid()}"
        self._begin()

    @property
    def dropped(self) -> int:
        """Counts that had to be forgotten because Redis was away for too long; 0 in a healthy process."""
        return self._account.dropped

    def sent(
        self,
        hop: str,
        ids: Sequence[str] | NDArray[np.uint64],
        at: float | Sequence[float],
        times: int | Sequence[int] = 1,
    ) -> None:
        """Count ids as sent on a hop. ``at``: the events' own time, seconds UTC, the same number on both sides."""
        self._count(SENT, hop, ids, at, times)

    def received(
        self,
        hop: str,
        ids: Sequence[str] | NDArray[np.uint64],
        at: float | Sequence[float],
        times: int | Sequence[int] = 1,
    ) -> None:
        """Count ids as received on a hop. ``at`` as in ``sent``."""
        self._count(RECEIVED, hop, ids, at, times)

    def explained(
        self,
        hop: str,
        ids: Sequence[str] | NDArray[np.uint64],
        at: float | Sequence[float],
        reason: str,
        times: int | Sequence[int] = 1,
    ) -> None:
        """Count ids as having left the hop for a reason out of the hop's closed list. ``at`` as in ``sent``."""
        if reason in (SENT, RECEIVED):
            raise ConfigurationError(
                f"reason {reason!r} is the name of a side: choose a word from the hop's list of reasons"
            )
        self._count(reason, hop, ids, at, times)

    def _count(
        self,
        side: str,
        hop: str,
        ids: Sequence[str] | NDArray[np.uint64],
        at: float | Sequence[float],
        times: int | Sequence[int],
    ) -> None:
        if isinstance(ids, str):
            raise ConfigurationError(f"ids={ids!r}: a list of ids is needed, [{ids!r}]")
        # An array is asked for by what it can do, so that numpy need not be imported to know one.
        keys: list[int] = ids.tolist() if hasattr(ids, "tolist") else key_list(ids)
        with self._lock:
            self._account.count(side, hop, keys, at, times)

    def name(self, ids: Sequence[str]) -> None:
        """Remember full ids, so that decoded keys print as names.

        Redis keeps the last 100,000, and so does the buffer; what falls out is counted.
        """
        with self._lock:
            self._names += ids
            self._bound_names()

    def _bound_names(self) -> None:
        over = len(self._names) - MAX_NAMES
        if over > 0:
            del self._names[:over]
            self.names_dropped += over

    def flush(self, pipe: Pipeline | None = None) -> None:
        """Write all that is not known to be in Redis: at once, or as one command into ``pipe``.

        Into a pipe it arrives with the pipe's transaction or not at all. Cumulative: what was lost with one flush comes
        with the next. Raises redis-py's error if Redis fails, and forgets nothing.
        """
        with self._flushing:
            self._write(pipe, closing=False)

    @property
    def flushes(self) -> int:
        """The number of the last flush that was made, whether it arrived or not; they are numbered from 1."""
        with self._lock:
            return self._account.collected

    def arrived(self) -> int:
        """The number of the last flush that Redis has; asks it, and raises redis-py's error if it fails.

        So is known whether a transaction whose answer was lost was carried out: the flush that it carried tells.
        """
        return self._store.arrived(self.owner)

    def close(self) -> None:
        """Flush, and mark this owner's account as complete.

        Raises redis-py's error if Redis fails; the account then stays open, and may be closed again.
        """
        with self._flushing:
            self._write(None, closing=True)

    def _write(self, pipe: Pipeline | None, *, closing: bool) -> None:
        if pipe is not None:
            self._ask()
        for _ in range(2):
            flush = self._next(closing=closing, alone=pipe is None)
            if flush is None:
                return
            try:
                before = self._store.write(flush, self._window_s, pipe)
            except BaseException:
                with self._lock:
                    self._names = [*flush.names, *self._names]
                    self._bound_names()
                raise
            with self._lock:
                self._flushed_at = time.monotonic()
                self._names_dropped_told += flush.names_dropped
                if before is None:
                    if flush.names:
                        self._names_out.append((flush.number, list(flush.names)))
                    return
                lost = before < self._account.arrived
                self._arrived(before if lost else flush.number)
            if not lost:
                return

    def _next(self, *, closing: bool, alone: bool) -> Flush | None:
        with self._lock:
            if time.monotonic() - self._flushed_at > self._keep_s:
                self._account.forget()
            if not (closing or self._account.waiting() or self._names or (alone and self._names_out)):
                return None
            number, windows = self._account.collect()
            names, self._names = self._names, []
            if alone:  # what other transactions carried is not known to have arrived: say it again
                names = [text for _, texts in self._names_out for text in texts] + names
                self._names_out = []
            return Flush(
                number=number,
                owner=self.owner,
                hops=sorted(self._account.hops),
                closed=closing,
                dropped=self._account.dropped,
                windows=windows,
                names=names,
                names_dropped=self.names_dropped - self._names_dropped_told,
            )

    def _ask(self) -> None:
        """Ask Redis, seldom, which of the flushes into other people's transactions have arrived."""
        with self._lock:
            long_ago = time.monotonic() - self._asked_at > _DOUBT_S
            if not ((long_ago and self._account.waiting()) or self._account.table_in_doubt()):
                return
        arrived = self._store.arrived(self.owner)
        with self._lock:
            self._arrived(arrived)

    def _arrived(self, number: int) -> None:
        self._asked_at = time.monotonic()
        self._account.settle(number)
        again = [text for sent_with, texts in self._names_out if sent_with > number for text in texts]
        self._names_out = []
        self._names = [*again, *self._names]
        self._bound_names()


def wait_balanced(
    redis: Redis,
    name: str,
    *,
    timeout_s: float,
    hops: Collection[str] | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[HopBalance]:
    """Read again and again until every hop balances, at most ``timeout_s``; the last reading, balanced or not.

    ``hops`` limits it to some; one that nobody has counted on yet is waited for, and left out of the answer if nobody
    does. With no hops given, at least one must be there.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = _chosen(balance(read(redis, name, since=since, until=until, names=False)), hops)
        wanted = set(hops) if hops is not None else {one.hop for one in found}
        if found and wanted <= {one.hop for one in found} and all(one.balanced for one in found):
            return found
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return _chosen(balance(read(redis, name, since=since, until=until)), hops)
        time.sleep(min(_POLL_S, left_s))


def _chosen(found: list[HopBalance], hops: Collection[str] | None) -> list[HopBalance]:
    return found if hops is None else [one for one in found if one.hop in hops]


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


os.register_at_fork(after_in_child=_after_fork)
