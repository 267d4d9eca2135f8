"""Which objects' events were put and when last, in Redis: what a reconciler holds a table against in signal mode.

``rth1:{NAME}:put`` is a sorted set, ``app.Model KEY`` by the time of its last event (seconds UTC by the clock of the
process it happened in); ``rth1:{NAME}:since`` is when it begins.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from realtime_core.errors import ConfigurationError
from realtime_core.queue.keys import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

TRIM_EVERY_S: Final = 1.0
_FORMAT: Final = "rth1"


def subject(model: str, key: object) -> str:
    """An object as a trace names it."""
    return f"{model} {key}"


class Trace:
    """Bounded by time and number. What is not there was not put, if it changed after :meth:`complete_since`."""

    def __init__(self, redis: Redis, name: str, *, keep_s: float = 86_400.0, most: int = 1_000_000) -> None:
        """Nothing is sent yet.

        Args:
            redis: as the queue's.
            name: the queue's.
            keep_s: how long an object is remembered after its last event.
            most: objects remembered, and a hundredth more; of more the oldest are forgotten, and the trace begins later.

        Raises:
            ConfigurationError: a name that is none, or a limit that is not positive.
        """
        if not NAME.fullmatch(name):
            raise ConfigurationError(f"queue name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . -")
        if keep_s <= 0 or most < 1:
            raise ConfigurationError(f"keep_s={keep_s}, most={most}: both have to be positive")
        self._redis = redis
        self._put = f"{_FORMAT}:{{{name}}}:put"
        self._since = f"{_FORMAT}:{{{name}}}:since"
        self._keep_s = keep_s
        self._most = most
        self._trim_at = 0.0
        self._untrimmed = 0

    def note(self, events: Iterable[tuple[str, float]]) -> None:
        """Remember subjects whose events were put, each with its event's time. Raises redis-py's errors."""
        latest: dict[str, float] = {}
        for name, at in events:
            latest[name] = max(at, latest.get(name, at))
        if not latest:
            return
        self._untrimmed += len(latest)
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(self._since, min(latest.values()), nx=True)
            pipe.zadd(self._put, cast("Any", latest), gt=True)
            # Not at each put: it is on a request's way. What is over its time or number meanwhile does no harm.
            if time.monotonic() >= self._trim_at or self._untrimmed * 100 >= self._most:
                self._trim_at, self._untrimmed = time.monotonic() + TRIM_EVERY_S, 0
                pipe.zremrangebyscore(self._put, "-inf", time.time() - self._keep_s)
                pipe.zremrangebyrank(self._put, 0, -self._most - 1)
            pipe.execute()

    def complete_since(self) -> float | None:
        """From when on nothing that was put is missing here, seconds UTC; None where nothing was ever noted."""
        began, held = cast("Any", self._redis).get(self._since), cast("Any", self._redis).zcard(self._put)
        if began is None:
            return None
        since = max(float(began), time.time() - self._keep_s)
        if held >= self._most:
            ((_, oldest),) = cast("Any", self._redis).zrange(self._put, 0, 0, withscores=True)
            since = max(since, oldest)
        return since

    def last_put(self, subjects: Sequence[str]) -> list[float | None]:
        """When the last event of each was put; None for those that are not known."""
        return list(cast("Any", self._redis).zmscore(self._put, list(subjects))) if subjects else []
