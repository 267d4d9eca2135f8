"""The runner: claims a batch, takes it through all stages, settles it together with the ledger, and so on until drained."""

from __future__ import annotations

import logging
import random
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

import gevent
from gevent.event import Event as Flag
from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.batch import Batch
from realtime_core.pipeline.metrics import PipelineMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_core.ledger import Ledger
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.queue import Claim, Queue, Renewal

log = logging.getLogger(__name__)
T = TypeVar("T")

WAIT_S: Final = 0.5  # for jobs, and so the longest an idle worker takes to notice that it is to end
NOT_READY_S: Final = 0.1
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
GIVE_BACK_S: Final = 0.5
CLOSE_S: Final = 0.5


class Abandoned(Exception):  # noqa: N818 - a decision, not a fault
    """The jobs in hand cannot be kept: their leases are over, or the worker ends. Others will get them."""


class Runner:
    """One worker. ``run`` returns after ``drain``; both belong to one process whose sockets gevent has patched."""

    def __init__(
        self,
        pipeline: Pipeline,
        queue: Queue,
        ledger: Ledger | None = None,
        *,
        worker: str,
        batch: int = 256,
        drain_s: float = 3.0,
        house_s: float = 1.0,
        metrics: PipelineMetrics | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        """Set up; nothing is claimed yet.

        Args:
            pipeline: what to do with jobs.
            queue: where they come from.
            ledger: where they are accounted for.
            worker: what the queue calls this worker.
            batch: most jobs of one claim.
            drain_s: how long a batch in hand may take to end once the worker is to end.
            house_s: how often expired leases are reaped and the ledger is flushed in passing.
            metrics: where to count; without it nothing is exported.
            renewal: keeps the leases of a batch that takes longer; without it such a batch is renewed once, when it is settled.
                Whoever made it closes it.

        Raises:
            ConfigurationError: settings that no mixin knows, or a limit that is none.
        """
        if batch < 1 or drain_s < 0 or not house_s > 0:
            raise ConfigurationError(f"batch={batch}, drain_s={drain_s}, house_s={house_s}: at least 1, 0 and above 0")
        pipeline.check()
        self.metrics = metrics or PipelineMetrics()
        self._pipeline = pipeline
        self._queue = queue
        self._accounts = Accounts(ledger)
        self._worker = worker
        self._batch = batch
        self._drain_s = drain_s
        self._house_s = house_s
        self._renewal = renewal
        self._house_at = 0.0
        self._draining = Flag()
        self._working: gevent.Greenlet | None = None
        pipeline.listen(self._accounts.late)

    def run(self) -> None:
        """Work until drained, then close the pipeline and the account."""
        self._working = gevent.spawn(self._work)
        try:
            if self._draining.is_set():
                gevent.spawn_later(self._drain_s, self._working.kill)
            self._working.join()
        finally:
            self._working.kill()
            self._end()

    def drain(self) -> None:
        """Claim nothing more, end what is in hand within ``drain_s``, give back the rest. May be called by a signal."""
        if self._draining.is_set():
            return
        self._draining.set()
        self._pipeline.stop_waiting()
        if self._working is not None:
            gevent.spawn_later(self._drain_s, self._working.kill)

    def step(self, wait_s: float = 0.0) -> int:
        """One batch, waiting up to ``wait_s`` for it; how many jobs were claimed.

        Raises:
            RedisError: nothing was claimed.
        """
        self._keep_house()
        if not self._pipeline.ready():
            self._draining.wait(NOT_READY_S)
            return 0
        claims = self._queue.claim(self._worker, self._batch, wait_s)
        if claims:
            with self._renewal.holding(claims) if self._renewal else nullcontext():
                self._handle(claims)
        return len(claims)

    def _work(self) -> None:
        failures = 0
        while not self._draining.is_set():
            try:
                self.step(WAIT_S)
            except Abandoned as why:
                log.warning("a batch was abandoned: %s", why)
            except RedisError as error:
                failures += 1
                self._redis_failed(error, failures)
            except Exception:  # the jobs in hand come back when their leases end
                failures += 1
                log.exception("a batch was lost to a fault of ours")
                self._draining.wait(_pause_s(failures))
            else:
                failures = 0

    def _handle(self, claims: Sequence[Claim]) -> None:
        started = time.monotonic()
        queue = self._queue
        batch = Batch(claims, max_attempts=queue.max_attempts, backoff_base_s=queue.backoff_s, chance=random.random())
        try:
            batch.parse(self._pipeline, self.metrics)
            batch.compute(self._pipeline, self.metrics)
            self._stamp(batch, started + queue.lease_s)
            self._progress(claims)
            self._publish(batch)
            self._progress(claims)
            self._settle(batch, started)
        except gevent.GreenletExit:
            with gevent.Timeout(GIVE_BACK_S, False):
                batch.give_back()
                self._settle(batch, started)
            raise
        self.metrics.batch_seconds.observe(time.monotonic() - started)

    def _progress(self, claims: Sequence[Claim]) -> None:
        if self._renewal:
            self._renewal.progress(claims)

    def _stamp(self, batch: Batch, lease_end: float) -> None:
        items = batch.under_way
        if items:
            claims = [item.claim for item in items]
            channels = [item.message.channels if item.message else () for item in items]
            ids = self._persist(lambda: self._queue.stamp(claims, channels), lease_end)
            batch.stamp(items, ids, self.metrics)

    def _publish(self, batch: Batch) -> None:
        items = batch.under_way
        if not items:
            return
        events = [event for item in items for event in item.events]
        with self.metrics.stage("publish", len(items)) as stage:
            self._accounts.offered(self._pipeline.best_effort, events)
            outcomes = self._pipeline.publish(events)
            boxes = self._pipeline.required
            self._accounts.answered(events, {box: of_box for box, of_box in outcomes.items() if box in boxes})
            failures = batch.judge(items, outcomes, again_at_once=self._draining.is_set())
            stage.leave("error", failures)
            stage.leave("done", len(items) - failures)

    def _settle(self, batch: Batch, started: float) -> None:
        """Settle with the ledger in one transaction, again and again until Redis has answered."""
        if time.monotonic() - started > self._queue.lease_s / 2:
            gone = self._persist(lambda: self._queue.renew([item.claim for item in batch.items]))
            for item in batch.items:
                item.lost = item.lost or item.claim.id in gone
        verdicts = batch.verdicts
        if not batch.accounted:
            batch.accounted = True
            self._accounts.ended(batch.ended)
        with self.metrics.stage("settle", len(verdicts)) as stage:
            settled = self._persist(lambda: self._queue.settle(verdicts, also=self._accounts.flush))
            stage.leave("stale", len(settled.stale))
            stage.leave("done", settled.done)
        if settled.stale:
            log.warning("%d jobs were no longer ours when they were settled", len(settled.stale))

    def _persist(self, call: Callable[[], T], until: float = float("inf")) -> T:
        """Call Redis until it answers; a move that is repeated does nothing twice."""
        failures = 0
        while True:
            try:
                return call()
            except RedisError as error:
                failures += 1
                self._redis_failed(error, failures)
                if time.monotonic() > until:
                    raise Abandoned(f"Redis did not answer until their leases were over ({error})") from error

    def _redis_failed(self, error: RedisError, failures: int) -> None:
        self.metrics.redis_errors.inc()
        log.warning("Redis failed, attempt %d: %s", failures, error)
        gevent.sleep(_pause_s(failures))

    def _keep_house(self) -> None:
        # Between two batches, so that no count is written before the settlement that it belongs to.
        if time.monotonic() - self._house_at >= self._house_s:
            self._house_at = time.monotonic()
            self._queue.reap()
            self._accounts.flush()

    def _end(self) -> None:
        self._pipeline.close(CLOSE_S)
        try:
            with gevent.Timeout(CLOSE_S):
                self._accounts.close()
        except (RedisError, gevent.Timeout) as error:
            log.warning("the ledger's account stays open: %s", error)


def _pause_s(failures: int) -> float:
    """Exponential, with full jitter in its upper half."""
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
