"""``REALTIME`` in a Django project's settings: one place for what hooks, relay and reconciler need to know."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings as django_settings

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.outbox.writer import Outbox
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.trace import Trace
from realtime_core.ledger import Ledger
from realtime_core.queue import Queue
from realtime_core.redis_url import check_one_node, connect, is_cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

SIGNAL: Final = "signal"
OUTBOX: Final = "outbox"
NAME: Final = "REALTIME"
YEAR_S: Final = 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What stands in ``REALTIME``.

    Attributes:
        redis: URL of the Redis or Valkey that holds the queue.
        queue: the queue's name.
        mode: ``signal`` or ``outbox``.
        ledger: the ledger's name; without it nothing is counted there.
        ledger_keep_s: how long the accounts are kept there; everybody who counts in one ledger keeps them as long.
        trace_s: in signal mode, how long Redis remembers which objects' events were put (for the reconciler); 0: not.
        keep_s: in outbox mode, how long rows that were put are kept, without their payload; 0: not.
        redis_timeout_s: what a dead Redis may cost a request.
        max_length: jobs the queue may hold.
        idempotent_s: how long the queue remembers an id, while ``max_remembered`` is enough for it.
        max_remembered: ids that the queue remembers at most; None: as many as ``max_length``.
    """

    redis: str
    queue: str = "events"
    mode: str = SIGNAL
    ledger: str | None = None
    ledger_keep_s: float = 86_400.0
    trace_s: float = 86_400.0
    keep_s: float = 86_400.0
    redis_timeout_s: float = 2.0
    max_length: int = 1_000_000
    idempotent_s: float = 600.0
    max_remembered: int | None = None

    @classmethod
    def read(cls, words: Mapping[str, Any] | None = None) -> Settings:
        """The project's settings, or those in ``words``.

        Raises:
            ConfigurationError: there are none, one is not known, or one is out of its limits.
        """
        found = getattr(django_settings, NAME, None) if words is None else words
        if not found:
            raise ConfigurationError(
                f'the Django settings have no {NAME}: write {NAME} = {{"redis": "redis://HOST:6379/0"}}, '
                "or give realtime() a producer"
            )
        known = [field.name for field in fields(cls)]
        for key in found:
            if key not in known:
                raise ConfigurationError(f"{NAME}[{key!r}] is no setting: there are {', '.join(known)}")
        if "redis" not in found:
            raise ConfigurationError(f'{NAME} has no "redis": write its URL, redis://HOST:6379/0')
        settings = cls(**found)
        if settings.mode not in (SIGNAL, OUTBOX):
            raise ConfigurationError(f'{NAME}["mode"] is {settings.mode!r}: write "{SIGNAL}" or "{OUTBOX}"')
        limits = {
            "trace_s": (0, YEAR_S),
            "keep_s": (0, YEAR_S),
            "ledger_keep_s": (5, YEAR_S),
            "redis_timeout_s": (0.01, 60),
        }
        for name, (least, most) in limits.items():
            value = getattr(settings, name)
            if not isinstance(value, int | float) or not least <= value <= most:
                raise ConfigurationError(f"{NAME}[{name!r}] is {value!r}: give {least} to {most:,} seconds")
        check_one_node(settings.redis, queue=settings.queue, ledger=settings.ledger, called=f'{NAME}["ledger"]')
        return settings

    def client(self, queue: str | None = None) -> Redis:
        """A client that does not try again by itself: who uses it counts what fails.

        Args:
            queue: another than the settings': in a cluster it may be at another node.

        Raises:
            ConfigurationError: the URL is none.
        """
        limit_s, name = self.redis_timeout_s, queue or self.queue
        return connect(self.redis, answer_s=limit_s, connect_s=limit_s, name=name, called=f'{NAME}["redis"]')

    def make_queue(self, redis: Redis, name: str | None = None) -> Queue:
        """The queue as these settings have it, or another; in a cluster that one has a client of its own node.

        Raises:
            ConfigurationError: another in a cluster, whose account would be at another node than the ledger.
        """
        if name not in (None, self.queue) and is_cluster(self.redis):
            check_one_node(self.redis, queue=str(name), ledger=self.ledger, called=f'{NAME}["ledger"]')
            redis = self.client(name)
        return Queue(
            redis,
            name or self.queue,
            max_length=self.max_length,
            idempotent_s=self.idempotent_s,
            max_remembered=self.max_remembered,
        )

    def make_ledger(self, redis: Redis, owner: str) -> Ledger | None:
        """The ledger, if one is named."""
        if not self.ledger:
            return None
        owner = f"{owner}#{os.getpid():x}-{os.urandom(2).hex()}"
        return Ledger(redis, self.ledger, owner, keep_s=self.ledger_keep_s)

    def make_trace(self, redis: Redis) -> Trace | None:
        """The trace of what was put, unless it is off."""
        return Trace(redis, self.queue, keep_s=self.trace_s) if self.trace_s else None


@cache
def default_producer() -> Producer | Outbox:
    """What ``realtime()`` hands events to where no producer is given: one a process, made once.

    Raises:
        ConfigurationError: as :meth:`Settings.read`.
    """
    settings = Settings.read()
    if settings.mode == OUTBOX:
        return Outbox(settings.queue)
    redis = settings.client()
    return Producer(
        settings.make_queue(redis), ledger=settings.make_ledger(redis, "hooks"), trace=settings.make_trace(redis)
    )
