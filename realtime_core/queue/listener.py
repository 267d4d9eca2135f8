"""Hearing of every move of a queue's jobs. Notices are told only while somebody listens, and what was missed is counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from realtime_core.errors import ConfigurationError
from realtime_core.queue.keys import queue_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from redis.client import PubSub

    from realtime_core.queue.queue import Queue

MOVES: Final = (
    "published",
    "claimed",
    "finished",
    "cancelled",
    "given_back",
    "stalled",
    "expired",
    "retried",
    "retracted",
)
# Longer than a connection takes to come back: notices go on being numbered meanwhile, and so can be missed by name.
WATCHED_S: Final = 60.0
RENEW_S: Final = 15.0
AGAIN_S: Final = 0.5
MAX_WAIT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One job's move.

    Attributes:
        move: one of ``MOVES``. ``expired``: its lease ended, and it is in line again unless ``stalled`` follows.
        id: the job's.
        attempt: which attempt was claimed, failed or ended; None where a move has none.
        at: when, seconds UTC by Redis' clock.
    """

    move: str
    id: str
    attempt: int | None
    at: float


class Listener:
    """One subscriber, with a connection of its own. Not to be shared by threads; close it at the end.

    Attributes:
        lost: messages (of one batch each) that were told and did not arrive here.
        blind: how often it cannot say what was missed: nobody was told for a while, or the server lost its count.
        reconnects: how often the connection was made anew.
    """

    def __init__(self, queue: Queue) -> None:
        """Listen from now on.

        Raises:
            RedisError: the server cannot be reached.
        """
        self.lost = 0
        self.blind = 0
        self.reconnects = 0
        self._redis: Redis = queue.redis
        self._keys = queue_keys(queue.name)
        self._pubsub: PubSub | None = None
        self._seen = 0
        self._base = 0
        self._renew_at = 0.0
        self._subscribe()
        self._base = self._seen = int(self._redis.hget(self._keys["counts"], "notices") or 0)

    def notices(self, wait_s: float = 0.0) -> list[Notice]:
        """What has arrived; waits up to ``wait_s`` for the first. A broken connection is made anew meanwhile.

        Raises:
            ConfigurationError: a wait out of its limits.
        """
        if not 0 <= wait_s <= MAX_WAIT_S:
            raise ConfigurationError(f"wait_s={wait_s}, the limits are 0 and {MAX_WAIT_S:,}")
        deadline = time.monotonic() + wait_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                found = self._poll(min(left_s, RENEW_S))
            except (RedisError, OSError):
                found = []
                self._drop()
                time.sleep(min(AGAIN_S, left_s))
            if found or time.monotonic() >= deadline:
                return found

    def close(self) -> None:
        """Hear no more. Notices are told for another minute, in case somebody else listens."""
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None

    def _poll(self, wait_s: float) -> list[Notice]:
        pubsub = self._pubsub or self._subscribe()
        if time.monotonic() >= self._renew_at:
            self._watch()
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=wait_s)
        found: list[Notice] = []
        while message is not None:
            found += self._read(message["data"])
            message = pubsub.get_message(ignore_subscribe_messages=True, timeout=0.0)
        return found

    def _subscribe(self) -> PubSub:
        pubsub: PubSub = self._redis.pubsub()  # type: ignore[no-untyped-call]
        pubsub.subscribe(self._keys["notices"])
        # Its confirmation: what is told from now on arrives.
        pubsub.get_message(timeout=5.0)
        self._pubsub = pubsub
        self._watch(first=self._renew_at == 0.0)
        return pubsub

    def _drop(self) -> None:
        if self._pubsub is not None:
            self.reconnects += 1
        self.close()

    def _watch(self, *, first: bool = False) -> None:
        seconds, microseconds = self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        with self._redis.pipeline() as pipe:
            pipe.hget(self._keys["counts"], "watched")
            pipe.hset(self._keys["counts"], "watched", now_ms + round(WATCHED_S * 1000))
            told_until, _ = pipe.execute()
        if int(told_until or 0) <= now_ms and not first:
            self.blind += 1
        self._renew_at = time.monotonic() + RENEW_S

    def _read(self, message: bytes) -> Iterator[Notice]:
        head, *lines = message.decode().split("\n")
        number, at_ms = map(int, head.split(" "))
        if self._seen > self._base and number <= self._seen:
            self.blind += 1
        elif number > self._seen:
            self.lost += number - self._seen - 1
        if number > self._base or self._seen > self._base:
            self._seen = number
        for line in lines:
            move, *words = line.split(" ")
            for id_, attempt in zip(words[::2], words[1::2], strict=True):
                yield Notice(move=move, id=id_, attempt=int(attempt) or None, at=at_ms / 1000)
