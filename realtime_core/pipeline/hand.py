"""A hand: takes one batch at a time through all stages, and settles it together with the ledger."""

from __future__ import annotations

import logging
import random
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import gevent
from gevent.lock import RLock
from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.batch import Batch, reason
from realtime_core.pipeline.publishing import Publishing
from realtime_core.pipeline.settlement import Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gevent.event import Event as Flag

    from realtime_core.pipeline.accounts import Accounts
    from realtime_core.pipeline.acknowledge import Level
    from realtime_core.pipeline.beside import Beside
    from realtime_core.pipeline.metrics import PipelineMetrics, Stage
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.queue import Claim, Queue, Renewal

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
GIVE_BACK_S: Final = 0.5
MARK_EVERY_S: Final = 0.05
# Jobs that compute are done one after another for so long; then whatever else this process has to do gets a turn.
TURN_S: Final = 0.02
# A pause of nothing would do for greenlets that are ready; timers and sockets are looked at only where it is longer.
A_TURN_S: Final = 1e-9
# Longer than any call of a client with limits of its own: beyond that a hand that waits for Redis hangs all the same.
LONGEST_CALL_S: Final = 30.0


class Abandoned(Exception):  # noqa: N818 - a decision, not a fault
    """The jobs in hand cannot be kept: their leases are over, or the worker ends. Others will get them."""


class Hung(gevent.GreenletExit):  # type: ignore[misc] # no Exception: no mixin may take it for a fault of a job
    """A stage showed no progress."""


@dataclass(slots=True, kw_only=True)
class Shop:
    """What the hands of one worker share.

    Attributes:
        settling: one settlement at a time, so that no count of another batch is written before that one's.
    """

    queue: Queue
    accounts: Accounts
    metrics: PipelineMetrics
    draining: Flag
    renewal: Renewal | None = None
    beside: Beside | None = None
    ack: Level = "published"
    settling: RLock = field(default_factory=RLock)

    def persist(self, call: Callable[[], T], until: float = float("inf"), touch: Callable[[], None] | None = None) -> T:
        """Call Redis until it answers; a move that is repeated does nothing twice."""
        failures = 0
        while True:
            try:
                return call()
            except RedisError as error:
                failures += 1
                self.redis_failed(error, failures)
                if touch is not None:
                    touch()  # waiting for Redis is no fault of the batch
                if time.monotonic() > until:
                    raise Abandoned(f"Redis did not answer until their leases were over ({error})") from error

    def redis_failed(self, error: RedisError, failures: int) -> None:
        """Count it, and wait a while."""
        self.metrics.redis_errors.inc()
        log.warning("Redis failed, attempt %d: %s", failures, error)
        gevent.sleep(pause_s(failures))


class Hand:
    """One greenlet's work, with a pipeline of its own.

    Attributes:
        greenlet: what works on the batch; None or dead when there is none.
        stage: where the batch is.
        jobs: how many it has.
        started, marked: when it began, and when it last showed progress, on the monotonic clock.
        asking: since when it waits for Redis to answer; None when it does not.
    """

    def __init__(self, pipeline: Pipeline, shop: Shop) -> None:
        self.pipeline = pipeline
        self.greenlet: gevent.Greenlet | None = None
        self.stage = ""
        self.jobs = 0
        self.started = self.marked = time.monotonic()
        self.asking: float | None = None
        self._turned = self._told = 0.0
        self._claims: Sequence[Claim] = ()
        self._shop = shop
        self._publishing = Publishing(pipeline, shop.accounts, shop.draining, self.touch)

    @property
    def busy(self) -> bool:
        """Whether it has a batch."""
        return self.greenlet is not None and not self.greenlet.dead

    def touch(self) -> None:
        """The work goes on."""
        self.marked = time.monotonic()
        if self.marked - self._told >= MARK_EVERY_S:
            self._tell()

    def excuse(self, stood_s: float) -> None:
        """The process stood still for so long, or Redis is away: that is no fault of the batch."""
        if self.asking is not None and time.monotonic() - self.asking < LONGEST_CALL_S:
            self.touch()
        self.marked = min(self.marked + max(0.0, stood_s), time.monotonic())
        renewal = self._shop.renewal
        if renewal is not None and stood_s >= MARK_EVERY_S:  # it saw no progress meanwhile, and may have let go of them
            renewal.hold([claim for claim in self._claims if not renewal.holds(claim)])

    def handle(self, claims: Sequence[Claim]) -> None:
        """One batch, to its settlement.

        Raises:
            Abandoned: the jobs could not be kept.
        """
        self.started = self.marked = self._turned = time.monotonic()
        self._claims, self.jobs = claims, len(claims)
        renewal = self._shop.renewal
        try:
            with renewal.holding(claims) if renewal else nullcontext():
                self._handle(claims)
        finally:
            self._claims, self.asking = (), None
        self._shop.metrics.batch_seconds.observe(time.monotonic() - self.started)

    def _handle(self, claims: Sequence[Claim]) -> None:
        queue, shop = self._shop.queue, self._shop
        batch = Batch(
            claims,
            max_attempts=queue.max_attempts,
            backoff_base_s=queue.backoff_s,
            chance=random.random(),
            go_on=self._go_on,
        )
        try:
            batch.parse(self.pipeline, self._enter)
            batch.compute(self.pipeline, self._enter, shop.ack)
            if shop.beside is not None:
                shop.beside.offer(batch.items)
            self._stamp(batch)
            self._publish(batch)
            self._settle(batch)
        except Hung:
            log.warning("a batch of %d jobs was taken back in stage %s", len(claims), self.stage)
            why = f"{self.stage}: no progress"
            with gevent.Timeout(GIVE_BACK_S, False):
                batch.hung(why)
                self._settle(batch)
        except gevent.GreenletExit:
            with gevent.Timeout(GIVE_BACK_S, False):
                batch.give_back()
                self._settle(batch)
            raise
        except Exception as error:
            # A fault of ours, for no mixin's comes so far: they come back with its name, not when their leases end.
            if self.stage != "settle" and not isinstance(error, Abandoned):
                batch.broken(reason(self.stage, error, named=True, private=self.pipeline.private))
                self._settle(batch)
            raise

    def _tell(self) -> None:
        """Tell the renewal, now and then: each claim is written down for it."""
        self._told = self.marked
        if self._shop.renewal is not None:
            self._shop.renewal.progress(self._claims)

    def _go_on(self) -> None:
        """Between two jobs: the work goes on, and now and then others get a turn, whatever their stage."""
        self.marked = now = time.monotonic()
        if now - self._told >= MARK_EVERY_S:
            self._tell()
        if now - self._turned >= TURN_S:
            gevent.sleep(A_TURN_S)
            self.touch()
            self._turned = self.marked

    def _ask(self, call: Callable[[], T], until: float = float("inf")) -> T:
        """Ask Redis until it answers. Waiting for it is no fault of the batch."""

        def asking() -> None:
            self.touch()
            self.asking = self.marked

        asking()
        try:
            return self._shop.persist(call, until, asking)
        finally:
            self.asking = None

    @contextmanager
    def _enter(self, name: str, entered: int) -> Iterator[Stage]:
        self.stage = name
        self.touch()
        with self._shop.metrics.stage(name, entered) as stage:
            yield stage

    def _stamp(self, batch: Batch) -> None:
        try:
            self._stamp_all(batch)
        except (ConfigurationError, TypeError):
            if not batch.refuse(self._enter):
                raise
            self._stamp_all(batch)  # that are left

    def _stamp_all(self, batch: Batch) -> None:
        items = batch.under_way
        if items:
            claims = [item.claim for item in items]
            channels = [item.message.channels if item.message else () for item in items]
            lease_end = self.started + self._shop.queue.lease_s
            ids = self._ask(lambda: self._shop.queue.stamp(claims, channels), lease_end)
            batch.stamp(items, ids, self._enter)

    def _publish(self, batch: Batch) -> None:
        items = batch.under_way
        if not items:
            return
        early = [item for item in items if item.level == "none"]
        if early:
            batch.finish(early)
            self._settle(batch)
        with self._enter("publish", len(items)) as stage:
            self._publishing.publish(batch, items, stage, until=self.started + self._shop.queue.lease_s / 2)

    def _settle(self, batch: Batch) -> None:
        """Settle with the ledger in one transaction, again and again until Redis has answered."""
        queue, shop = self._shop.queue, self._shop
        if time.monotonic() - self.started > queue.lease_s / 2:
            gone = self._ask(lambda: queue.renew([item.claim for item in batch.items]))
            for item in batch.items:
                item.lost = item.lost or item.claim.id in gone
        while not shop.settling.acquire(timeout=MARK_EVERY_S):
            self.touch()  # who has it may be waiting for Redis
        try:
            verdicts = batch.to_settle()
            with self._enter("settle", len(verdicts)) as stage:
                settled = self._ask(Settlement(queue, shop.accounts, verdicts, batch.ending()).carry_out)
                stage.leave("stale", len(settled.stale))
                stage.leave("done", settled.done)
            batch.settled(verdicts)
        finally:
            shop.settling.release()
        if settled.stale:
            log.warning("%d jobs were no longer ours when they were settled", len(settled.stale))


def pause_s(failures: int) -> float:
    """Exponential, with full jitter in its upper half."""
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
