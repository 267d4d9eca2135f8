"""Writing events into the outbox, in the transaction they happen in."""

from __future__ import annotations

import logging
import sys
from binascii import crc32
from threading import Lock
from typing import TYPE_CHECKING, Final

from django.apps import apps

from realtime_core.hooks.metrics import JOBS, LOST
from realtime_core.queue.keys import queue_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.hooks.event import Captured

APP: Final = "realtime_core.hooks.outbox"
LABEL: Final = "realtime_outbox"
_ROWS_AN_INSERT: Final = 500

_log = logging.getLogger(__name__)


class Outbox:
    """Where hooks put events that may not be lost: rows that commit, or roll back, with what they tell about.

    Attributes:
        lost: events whose payload could not be taken (a channel that is none, a value that JSON does not know).
    """

    def __init__(self, queue: str = "events") -> None:
        """Name the queue that the relay puts the jobs into.

        Raises:
            ConfigurationError: the name does not match ``[A-Za-z0-9_.-]{1,64}``.
        """
        queue_keys(queue)
        self.queue = queue
        self.lost = 0
        self._lock = Lock()

    def write(self, events: Sequence[Captured], using: str | None) -> None:
        """Insert rows on the connection ``using``. Raises the database's errors: the save fails with its event."""
        from realtime_core.hooks.outbox.models import KEY_LENGTH, PARTITIONS  # noqa: PLC0415 - once applications are loaded

        table = apps.get_model(LABEL, "OutboxRow")
        rows = [
            table(
                job=event.job.id,
                queue=self.queue,
                key=event.job.key or "",
                partition=crc32((event.job.key or event.job.id).encode()) % PARTITIONS,
                kind=event.kind,
                model=event.model,
                object=event.key[:KEY_LENGTH],
                at=event.at,
                body=event.job.body,
            )
            for event in events
        ]
        table._base_manager.using(using).bulk_create(rows, batch_size=_ROWS_AN_INSERT)  # noqa: SLF001 - documented

    def lose(self, count: int, why: str) -> None:
        """Count events that could not be captured, and log why, with the exception that is being handled if there is one."""
        with self._lock:
            self.lost += count
        JOBS.labels(outcome=LOST).inc(count)
        _log.error("%d event(s) lost: %s", count, why, exc_info=sys.exc_info()[0] is not None)
