"""The queues that are measured, ours and its peers: how each takes jobs in, and how one consumer process works on them.

A process has one of them, as settings live in a peer's modules too. What no setting is named for is as the queue comes, but
results and events are off and nothing is logged below an error. All speak through the same client of Redis.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME = "bench"
TEXT = "x" * 200
AT_ONCE = 256  # jobs a put, where a queue takes several
_do: list[Callable[[str], None]] = []


class MeasuredQueue(Protocol):
    """What each of them can do."""

    def put(self, ids: Sequence[str]) -> None:
        """Take jobs in, as fast as it can."""

    def work(self) -> None:
        """Do jobs, until the process is killed."""


def job(id_: str, text: str) -> None:
    """What every queue is given to do: RQ looks it up by its name, so it is the same for all."""
    assert len(text) == len(TEXT)
    for do in _do:
        do(id_)


def does(do: Callable[[str], None]) -> None:
    """Let a job of this process do that with its id."""
    _do.append(do)


def pieces(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as are put together."""
    for first in range(0, len(ids), AT_ONCE):
        yield ids[first : first + AT_ONCE]


class Ours:
    """Claim a batch, do it, settle it."""

    def __init__(self, url: str, *, batch: int = AT_ONCE, lease_s: float = 30.0) -> None:
        from realtime_core.queue import Queue

        self._batch = batch
        self._queue = Queue(Redis.from_url(url), NAME, lease_s=lease_s)

    def put(self, ids: Sequence[str]) -> None:
        from realtime_core.queue import Job

        body = TEXT.encode()
        for some in pieces(ids):
            self._queue.put([Job(id=id_, body=body) for id_ in some])

    def work(self) -> None:
        from realtime_core.queue import Finish

        while True:
            claims = self._queue.claim(f"w{os.getpid()}", self._batch, wait_s=5.0)
            for claim in claims:
                job(claim.id, claim.body.decode())
            self._queue.settle([Finish(claim) for claim in claims])


class Dramatiq:
    """A worker's threads behind one that fetches; messages are acknowledged one by one, after they are done."""

    def __init__(
        self,
        url: str,
        *,
        threads: int = 8,
        prefetch: int = 0,
        middleware: bool = True,
        heartbeat_ms: int = 60_000,
        maintenance: int = 1_000,
    ) -> None:
        # Read where its worker is imported; 0 stands for two a thread.
        os.environ["dramatiq_queue_prefetch"] = str(prefetch)  # noqa: SIM112 - as Dramatiq spells it
        import dramatiq
        from dramatiq.brokers.redis import RedisBroker

        self._broker = RedisBroker(
            url=url,
            middleware=None if middleware else [],
            heartbeat_timeout=heartbeat_ms,
            maintenance_chance=maintenance,
        )
        self._actor = dramatiq.actor(job, actor_name="job", queue_name=NAME, broker=self._broker)
        self._threads = threads

    def put(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            message = self._actor.message(id_, TEXT)
            self._broker.enqueue(message)

    def work(self) -> None:
        from dramatiq import Worker

        Worker(self._broker, worker_threads=self._threads).start()
        while True:
            time.sleep(3600.0)


class Huey:
    """Threads that take a job off a list each: it has no acknowledgement."""

    def __init__(self, url: str, *, threads: int = 1) -> None:
        from huey import RedisHuey

        self._huey = RedisHuey(NAME, url=url, results=False)
        self._task = self._huey.task(name="job")(job)
        self._threads = threads

    def put(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self._task(id_, TEXT)

    def work(self) -> None:
        from huey.consumer import Consumer

        Consumer(self._huey, workers=self._threads, periodic=False).run()


class Rq:
    """A job at a time, in the worker's own process (``simple``) or in one that is forked for it, as RQ comes."""

    def __init__(
        self, url: str, *, simple: bool = True, retries: int = 0, maintenance_s: int = 600, ttl_s: int = 420
    ) -> None:
        from rq import Queue

        self._redis = Redis.from_url(url)
        self._queue = Queue(NAME, connection=self._redis)
        self._simple, self._retries, self._maintenance_s, self._ttl_s = simple, retries, maintenance_s, ttl_s

    def put(self, ids: Sequence[str]) -> None:
        from rq import Queue, Retry

        retry = Retry(max=self._retries) if self._retries else None
        for some in pieces(ids):
            self._queue.enqueue_many(
                [
                    Queue.prepare_data(
                        "tests.bench.queues.job", args=(id_, TEXT), job_id=id_, result_ttl=0, retry=retry
                    )
                    for id_ in some
                ]
            )

    def work(self) -> None:
        from rq import SimpleWorker, Worker

        worker = (SimpleWorker if self._simple else Worker)(
            [self._queue],
            connection=self._redis,
            maintenance_interval=self._maintenance_s,
            worker_ttl=self._ttl_s,
            job_monitoring_interval=1 if self._ttl_s < 60 else 30,
            log_job_description=False,
        )
        worker.work(logging_level="ERROR")


class CeleryRedis:
    """Celery with Redis as its broker."""

    def __init__(
        self,
        url: str,
        *,
        pool: str = "solo",
        concurrency: int = 1,
        prefetch: int = 4,
        late: bool = False,
        acks: bool = True,
        visible_s: float = 3_600.0,
        sweep_s: float = 0.0,
    ) -> None:
        from celery import Celery

        self._app = Celery(NAME, broker=url.replace("unix://", "redis+socket://"))
        options: dict[str, Any] = {"visibility_timeout": visible_s, "priority_steps": [0], "ack_emulation": acks}
        if sweep_s:
            options |= {"unacked_restore_interval": sweep_s, "unacked_restore_throttle": 1}
        self._app.conf.update(
            broker_transport_options=options,
            task_acks_late=late,
            task_reject_on_worker_lost=late,
            task_default_queue=NAME,
            task_ignore_result=True,
            worker_prefetch_multiplier=prefetch,
            worker_disable_rate_limits=True,
            worker_hijack_root_logger=False,
            worker_redirect_stdouts=False,
            worker_enable_remote_control=False,
        )
        self._task = self._app.task(job, name="job")
        self._pool, self._concurrency = pool, concurrency

    def put(self, ids: Sequence[str]) -> None:
        with self._app.producer_or_acquire() as producer:
            for some in pieces(ids):
                with producer.batch(AT_ONCE):
                    for id_ in some:
                        self._task.apply_async((id_, TEXT), task_id=id_, producer=producer)

    def work(self) -> None:
        self._app.Worker(
            pool=self._pool,
            concurrency=self._concurrency,
            loglevel="ERROR",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        ).start()


QUEUES: dict[str, Callable[..., MeasuredQueue]] = {
    "ours": Ours,
    "Dramatiq": Dramatiq,
    "huey": Huey,
    "RQ": Rq,
    "Celery": CeleryRedis,
}
