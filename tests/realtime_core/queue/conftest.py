"""A queue of the test's own, and a few words for what most tests do with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from realtime_core.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


class MakeQueue(Protocol):
    def __call__(self, **settings: float) -> Queue: ...


@pytest.fixture
def make_queue(redis_client: Redis, redis_name: str) -> Iterator[MakeQueue]:
    """Queues of one name; whatever a test did, the books balance after it."""
    made: list[Queue] = []

    def make(**settings: float) -> Queue:
        made.append(Queue(redis_client, redis_name, **settings))
        return made[-1]

    yield make
    for queue in made:
        audit = queue.audit(limit=200_000)
        assert audit.clean, audit


@pytest.fixture
def queue(make_queue: MakeQueue) -> Queue:
    """A queue whose failed jobs come back at once."""
    return make_queue(backoff_s=0.0)
