"""Renewal of leases beside the work: an operating system's thread with a connection of its own, one call for all leases held.

It goes on while the jobs burn CPU, and in a process whose threads and sockets gevent has patched: the thread is started by what
gevent replaced, and has a loop of its own. It needs the interpreter now and then: code that keeps it for longer than a lease (a C
extension that does not let go of the GIL) loses its jobs to others, and its settlement is stale. Do such work in another process.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from realtime_core.errors import ConfigurationError
from realtime_core.queue.queue import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from realtime_core.queue.job import Claim
    from realtime_core.queue.queue import Queue

RENEWALS_A_LEASE: Final = 3
# After a failure: often enough that a server that comes back within a lease finds the claims alive.
TRIES_A_LEASE: Final = 10
STOP_S: Final = 2.0
LOOK_S: Final = 0.005


class Renewal:
    """Keeps the leases of what is held. One a process is enough; threads and greenlets may share it. Close it at the end.

    Attributes:
        lost: claims that turned out to be somebody else's, since the start.
        hung: claims that it stopped renewing because they showed no progress, since the start.
        failures: calls that failed, and threads that could not be started, since the start; ``last_error`` is the last of them.
    """

    def __init__(
        self, queue: Queue, *, progress_timeout_s: float | None = None, connect: Callable[[], Redis] | None = None
    ) -> None:
        """Nothing is started before something is held.

        Args:
            queue: whose leases, and how long they are.
            progress_timeout_s: a claim that was not marked by :meth:`progress` for so long is not renewed any more: it
                ends within a lease, and another consumer gets the job. Without it a claim is kept while the process lives.
            connect: makes the thread's own client; without it one like the queue's.

        Raises:
            ConfigurationError: a time that is none; a cluster's client, and no ``connect``.
        """
        if progress_timeout_s is not None and not progress_timeout_s > 0:
            raise ConfigurationError(f"progress_timeout_s={progress_timeout_s}: above 0, or None for no limit")
        if connect is None and not hasattr(queue.redis, "connection_pool"):
            raise ConfigurationError("a cluster's client cannot be copied: give the renewal a connect= that makes one")
        self.lost = 0
        self.hung = 0
        self.failures = 0
        self.last_error: str | None = None
        self._queue = queue
        self._progress_timeout_s = progress_timeout_s
        self._connect = connect or (lambda: _like(queue.redis, queue.lease_s))
        self._held: dict[tuple[str, int], tuple[Claim, float]] = {}
        self._holder = os.getpid()
        self._pid = 0  # the process whose thread runs; 0: none does
        self._again_at = 0.0
        self._alarm: Any = None
        self._ended = True

    def hold(self, claims: Sequence[Claim]) -> None:
        """Renew these from now on. They have just shown progress.

        A thread that cannot be started is counted, and tried again at a later :meth:`hold` or :meth:`progress`.
        """
        self._let_go_of_a_parents()
        now = time.monotonic()
        self._held.update({(claim.id, claim.token): (claim, now) for claim in claims})
        self._keep_running()

    def progress(self, claims: Sequence[Claim]) -> None:
        """The work on these goes on; what is not held any more is left alone."""
        self._let_go_of_a_parents()
        now = time.monotonic()
        for claim in claims:
            if (claim.id, claim.token) in self._held:
                self._held[claim.id, claim.token] = (claim, now)
        self._keep_running()

    def holds(self, claim: Claim) -> bool:
        """Whether it is still renewed: not released, not lost, not hung."""
        self._let_go_of_a_parents()
        return (claim.id, claim.token) in self._held

    def release(self, claims: Sequence[Claim]) -> None:
        """Renew these no more."""
        for claim in claims:
            self._held.pop((claim.id, claim.token), None)

    @contextmanager
    def holding(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Hold claims while the block runs."""
        self.hold(claims)
        try:
            yield
        finally:
            self.release(claims)

    def close(self) -> None:
        """End the thread, within about two seconds; what is held runs out."""
        self._held.clear()
        if self._pid != os.getpid():
            return
        self._pid = 0
        self._alarm.release()
        until = time.monotonic() + STOP_S
        # A short sleep again and again, because in a patched process a real wait would stop every greenlet.
        while not self._ended and time.monotonic() < until:
            time.sleep(LOOK_S)

    def _let_go_of_a_parents(self) -> None:
        # A forked child has its parent's claims in memory. They are the parent's to renew: its death must end them.
        if self._holder != os.getpid():
            self._holder = os.getpid()
            self._held.clear()

    def _keep_running(self) -> None:
        running = self._pid == os.getpid() and not self._ended
        if not self._held or running or time.monotonic() < self._again_at:
            return
        try:
            self._start()
        except RuntimeError as error:  # no more threads, for now
            self._pid = 0
            self._ended = True
            self.failures += 1
            self.last_error = f"{type(error).__name__}: {error}"
            self._again_at = time.monotonic() + self._queue.lease_s / TRIES_A_LEASE

    def _start(self) -> None:
        self._pid = os.getpid()
        self._ended = False
        self._alarm = _unpatched("allocate_lock")()
        self._alarm.acquire()
        _unpatched("start_new_thread")(self._run, (self._pid, self._alarm))

    def _run(self, pid: int, alarm: Any) -> None:
        lease_s = self._queue.lease_s
        queue: Queue | None = None
        wait_s = lease_s / RENEWALS_A_LEASE
        try:
            while not alarm.acquire(timeout=wait_s) and self._pid == pid:
                try:
                    queue = queue or self._queue.beside(self._connect())
                    self._renew(queue)
                    wait_s = lease_s / RENEWALS_A_LEASE
                except Exception as error:  # noqa: BLE001 - whatever it is, the next try may go well, and nobody else sees it
                    self.failures += 1
                    self.last_error = f"{type(error).__name__}: {error}"
                    wait_s = lease_s / TRIES_A_LEASE
        finally:
            if queue is not None:
                with suppress(RedisError, OSError):
                    queue.redis.close()
            _close_loop()
            self._ended = True

    def _renew(self, queue: Queue) -> None:
        # One step of the interpreter: others change what is held meanwhile.
        held = list(self._held.items())
        if self._progress_timeout_s is not None:
            oldest = time.monotonic() - self._progress_timeout_s
            for key, (_, marked) in held:
                if marked < oldest and self._held.pop(key, None) is not None:
                    self.hung += 1
            held = [entry for entry in held if entry[1][1] >= oldest]
        for first in range(0, len(held), MAX_BATCH):
            part = held[first : first + MAX_BATCH]
            gone = set(queue.renew([claim for _, (claim, _) in part]))
            for key, _ in part:
                if key[0] in gone and self._held.pop(key, None) is not None:
                    self.lost += 1


def _like(redis: Redis, lease_s: float) -> Redis:
    """A client of one connection to the same server, which gives up before a lease is over."""
    pool = redis.connection_pool
    settings = dict(pool.connection_kwargs)
    settings |= {"socket_timeout": lease_s / 4, "socket_connect_timeout": lease_s / 4, "retry": Retry(NoBackoff(), 0)}
    if not isinstance(pool, SentinelConnectionPool):
        return Redis(connection_pool=ConnectionPool(pool.connection_class, max_connections=1, **settings))
    # It asks the sentinels by connections of its own too: another thread's would be of another loop under gevent.
    theirs = pool.sentinel_manager
    ours = Sentinel([], min_other_sentinels=theirs.min_other_sentinels)  # type: ignore[no-untyped-call]
    ours.sentinels = [_like(sentinel, lease_s) for sentinel in theirs.sentinels]
    settings |= {"connection_class": pool.connection_class, "max_connections": 1}
    del settings["connection_pool"]
    primary: Redis = ours.master_for(pool.service_name, **settings)  # type: ignore[no-untyped-call]
    return primary


def _unpatched(name: str) -> Any:
    """A function of ``_thread`` as it was before gevent replaced it, if it did. Nothing is imported for that."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original("_thread", name) if monkey is not None else getattr(_thread, name)


def _close_loop() -> None:
    """End the loop that gevent made for this thread, if it did."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        gevent.get_hub().destroy(destroy_loop=True)
