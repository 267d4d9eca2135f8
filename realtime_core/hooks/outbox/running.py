"""A relay that runs: waits while nothing comes, longer while something is broken, and ends within a limit."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from django.db import connections
from redis.exceptions import RedisError

from realtime_core.errors import QueueFull
from realtime_core.hooks.outbox.metrics import DATABASE, FAILURES, OLDEST, OTHER, QUEUE_FULL, REDIS, WAITING
from realtime_core.hooks.outbox.relay import PURGED_AT_ONCE

if TYPE_CHECKING:
    from threading import Event

    from realtime_core.hooks.outbox.relay import Relay

SHORTEST_S: Final = 0.01
FIRST_BACKOFF_S: Final = 0.1
LONGEST_BACKOFF_S: Final = 10.0
LOOK_EVERY_S: Final = 5.0
PURGE_S: Final = 1.0

_log = logging.getLogger(__name__)


def run(relay: Relay, stop: Event, *, using: str, poll_s: float = 0.25, drain_s: float = 5.0) -> int:
    """Relay until ``stop`` is set, then what still waits for up to ``drain_s``; how many rows were moved.

    While nothing comes it asks again after 10 ms, then after twice as long, up to ``poll_s``. After an error it waits 0.1 s,
    then twice as long, up to 10 s, and up to half of that more by chance. No error ends it.
    """
    moved, wait_s, failures, look_at = 0, SHORTEST_S, 0, 0.0
    while not stop.is_set():
        try:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_EVERY_S
                _look(relay)
            new = relay.round(lambda: not stop.is_set())
        except Exception as error:  # noqa: BLE001 - a relay goes on whatever happens; the reason is counted and logged
            failures += 1
            wait_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures - 1, 16)) * random.uniform(1.0, 1.5)
            _failed(error, using, wait_s)
        else:
            moved += new
            failures = 0
            wait_s = SHORTEST_S if new else min(poll_s, max(wait_s, SHORTEST_S) * 2)
            if new:
                continue
        stop.wait(wait_s)
    return moved + _drain(relay, using, drain_s)


def relay_all(relay: Relay) -> int:
    """Relay until nothing that is free waits; how many rows. Raises as ``Relay.round``, and Redis may be tried again."""
    moved = 0
    while new := relay.round():
        moved += new
    return moved


def _drain(relay: Relay, using: str, drain_s: float) -> int:
    deadline = time.monotonic() + drain_s
    moved = 0
    try:
        while new := relay.round(lambda: time.monotonic() < deadline):
            moved += new
        waiting, _ = relay.waiting()
    except Exception as error:  # noqa: BLE001 - it ends now, with what could not be put still in the table
        _failed(error, using, 0.0)
        return moved
    _log.info("the relay ends; %d row(s) wait for the next one", waiting)
    return moved


def _look(relay: Relay) -> None:
    count, oldest_s = relay.waiting()
    WAITING.set(count)
    OLDEST.set(oldest_s)
    # As long as a full thousand is found: at any rate of events the table stays as large as its retention.
    purge_until = time.monotonic() + PURGE_S
    while relay.purge() == PURGED_AT_ONCE and time.monotonic() < purge_until:
        pass


def _failed(error: Exception, using: str, wait_s: float) -> None:
    if isinstance(error, QueueFull):
        reason = QUEUE_FULL
    elif isinstance(error, RedisError):
        reason = REDIS
    elif isinstance(error, DatabaseError):
        reason = DATABASE
        # It may be the connection: the next turn opens another.
        connections[using].close()
    else:
        reason = OTHER
    FAILURES.labels(reason=reason).inc()
    _log.warning("the relay goes on in %.1f s: %s: %s", wait_s, type(error).__name__, error, exc_info=reason == OTHER)
