"""The runner: claims batches, gives them to a crew of hands, and keeps house, until it is told to drain."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Flag
from gevent.util import wrap_errors
from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError, OlderFormat
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.crew import Crew
from realtime_core.pipeline.hand import Shop, pause_s
from realtime_core.pipeline.metrics import PipelineMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.ledger import Ledger
    from realtime_core.pipeline.acknowledge import Level
    from realtime_core.pipeline.beside import Beside
    from realtime_core.pipeline.hand import Hand
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.queue import Queue, Renewal

log = logging.getLogger(__name__)

WAIT_S: Final = 1.0  # for jobs: how often an idle worker looks, and keeps house
NOT_READY_S: Final = 0.1
CLOSE_S: Final = 0.5
MOST_HANDS: Final = 256


class Runner:
    """One worker. ``run`` returns after ``drain``; both belong to one process whose sockets gevent has patched."""

    def __init__(
        self,
        make: Callable[[], Pipeline],
        queue: Queue,
        ledger: Ledger | None = None,
        *,
        worker: str,
        batch: int = 256,
        hands: int = 8,
        ack: Level = "published",
        drain_s: float = 3.0,
        house_s: float = 1.0,
        progress_timeout_s: float | None = None,
        metrics: PipelineMetrics | None = None,
        renewal: Renewal | None = None,
        beside: Beside | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Set up; nothing is claimed yet.

        Args:
            make: a pipeline for a hand; called once now, and again when the work needs more of them.
            queue: where jobs come from.
            ledger: where they are accounted for.
            worker: what the queue calls this worker.
            batch: most jobs of one claim.
            hands: most batches at a time.
            ack: when a job may leave the queue, where its pipeline says nothing about it.
            drain_s: how long batches in hand may take to end once the worker is to end.
            house_s: how often the ledger is flushed in passing, and expired leases are reaped while nothing is claimed.
            progress_timeout_s: a stage that shows no progress for so long is reported, and its batch taken back. It holds for
                what waits; a stage that computes without end is for the renewal and the supervisor.
            metrics: where to count; without it nothing is exported.
            renewal: keeps the leases of a batch that takes longer; without it such a batch is renewed once, when it is settled.
                Whoever made it closes it.
            beside: what compares the same jobs with another pipeline.
            close: called when all hands have ended, before the ledger's account is closed.

        Raises:
            ConfigurationError: settings that no mixin knows, or a limit that is none.
        """
        if batch < 1 or drain_s < 0 or not house_s > 0 or not 1 <= hands <= MOST_HANDS:
            raise ConfigurationError(
                f"batch={batch}, hands={hands}, drain_s={drain_s}, house_s={house_s}: "
                f"at least 1, 1 to {MOST_HANDS}, at least 0 and above 0"
            )
        if progress_timeout_s is not None and not progress_timeout_s > 0:
            raise ConfigurationError(f"progress_timeout_s={progress_timeout_s}: above 0, or None for no limit")
        self.metrics = metrics or PipelineMetrics()
        self._draining = Flag()
        self._shop = Shop(
            queue=queue,
            accounts=Accounts(ledger, self.metrics),
            metrics=self.metrics,
            draining=self._draining,
            renewal=renewal,
            beside=beside,
            ack=ack,
        )

        def checked() -> Pipeline:
            pipeline = make()
            pipeline.check()
            pipeline.listen(self._shop.accounts.late)
            return pipeline

        self._crew = Crew(checked, self._shop, most=hands, progress_timeout_s=progress_timeout_s)
        if ack == "delivered" and self._crew.hands[0].pipeline.canary is None:
            raise ConfigurationError(
                "ack delivered: there is no subscriber to ask: name where they listen with --canary"
            )
        self._worker = worker
        self._batch = batch
        self._drain_s = drain_s
        self._house_s = house_s
        self._house_at = 0.0
        self._looked_at = 0.0
        self._drain_at = 0.0
        self._refused: OlderFormat | None = None
        self._close = close

    def run(self) -> None:
        """Work until drained, then close everything and the account.

        Raises:
            OlderFormat: the queue cannot be worked on; everything is closed.
        """
        dispatching = gevent.spawn(self._dispatch)
        try:
            dispatching.join()
        finally:
            dispatching.kill()
            self._crew.end(max(0.0, self._drain_at + self._drain_s - time.monotonic()))
            self._end()
        if self._refused is not None:
            raise self._refused

    def drain(self) -> None:
        """Claim nothing more, end what is in hand within ``drain_s``, give back the rest. May be called by a signal."""
        if not self._draining.is_set():
            self._drain_at = time.monotonic()
            self._draining.set()
            self._crew.stop_waiting()

    @property
    def draining(self) -> bool:
        """Whether it was told to end."""
        return bool(self._draining.is_set())

    def _dispatch(self) -> None:
        failures = 0
        backlog = False
        while not self._draining.is_set():
            try:
                self._keep_house()
                hand = self._crew.next(backlog=backlog)
                if hand is None:
                    continue
                backlog = self._claim(hand)
            except RedisError as error:
                failures += 1
                self._shop.redis_failed(error, failures)
            except OlderFormat as error:
                self._refused = error
                return
            except Exception:
                failures += 1
                log.exception("no batch could be claimed")
                self._draining.wait(pause_s(failures))
            else:
                failures = 0

    def _claim(self, hand: Hand) -> bool:
        """Claim for a hand; whether there is more than one batch."""
        if not hand.pipeline.ready():
            self._draining.wait(NOT_READY_S)
            return False
        claims = self._shop.queue.claim(self._worker, self._batch, WAIT_S, waiting=self._wait)
        self._looked_at = time.monotonic()
        if claims:
            self._crew.give(hand, claims)
        return len(claims) >= self._batch

    def _wait(self, block: Callable[[], object]) -> bool:
        """Wait for jobs until the worker is to end. What is broken off then has no job in hand; a claim never is."""
        waiting = gevent.spawn(wrap_errors(Exception, block))
        try:
            gevent.wait([waiting, self._draining], count=1)
        finally:
            waiting.kill()
        if isinstance(waiting.value, Exception):
            raise waiting.value
        return not self._draining.is_set()

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now - self._house_at < self._house_s:
            return
        self._house_at = now
        self._crew.keep()
        if now - self._looked_at >= self._house_s:  # a claim reaps too: this is for while all hands are busy
            self._shop.queue.reap()
        # Between two settlements, so that no count is written before the settlement that it belongs to.
        if self._shop.settling.acquire(blocking=False):
            try:
                self._shop.accounts.flush()
            finally:
                self._shop.settling.release()

    def _end(self) -> None:
        self._close()
        try:
            with gevent.Timeout(CLOSE_S):
                self._shop.accounts.close()
        except (RedisError, gevent.Timeout) as error:
            log.warning("the ledger's account stays open: %s", error)
