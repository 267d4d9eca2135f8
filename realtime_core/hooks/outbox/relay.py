"""The relay's work: rows of the outbox become jobs, each at least once under one id, in their order by key.

There is no cursor. A row's number is given before its transaction commits, so numbers appear out of order; the relay asks
for what waits, partition by partition, and never for what comes after a number that it has seen.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from django.db.models import Min
from redis.exceptions import RedisError, ResponseError

from realtime_core.errors import ConfigurationError, QueueFull, RealtimeError
from realtime_core.hooks.books import fire, flush, take
from realtime_core.hooks.event import Captured
from realtime_core.hooks.outbox.metrics import BUSY, DUPLICATE, PUT, REFUSED, ROWS
from realtime_core.hooks.outbox.models import PARTITIONS, OutboxRow
from realtime_core.hooks.outbox.turn import check_database, partition_turn
from realtime_core.queue import MAX_BATCH, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet

    from realtime_core.hooks.books import Ledger
    from realtime_core.queue import Queue

REFUSAL: Final = 500
PURGED_AT_ONCE: Final = 1_000
COUNTED: Final = 100_000
# Of the bodies of one turn; a longer one goes alone. Rows are read so many at a time until there are enough.
MOST_BYTES: Final = 8_388_608
READ_AT_ONCE: Final = 50
# What says nothing of other queues: they have their turn all the same.
OF_ONE_QUEUE: Final = (ResponseError, RealtimeError)

_log = logging.getLogger(__name__)


class Relay:
    """Moves rows when it is told to; one a thread. Any number may work on one PostgreSQL database.

    A row is marked after the queue has accepted its job, in the transaction that holds its partition: a relay that dies in
    between leaves it waiting, and the same id put again within the queue's ``idempotent_s`` is the same job.
    """

    def __init__(
        self,
        queue: Callable[[str], Queue],
        *,
        using: str = "default",
        batch: int = 500,
        keep_s: float = 86_400.0,
        ledger: Ledger | None = None,
        apart: bool = False,
    ) -> None:
        """Nothing is read yet.

        Args:
            queue: makes the queue of a name; asked once a name.
            using: the database's alias.
            batch: most rows of one turn, 10,000 at most; bodies of more than 8 MB are put in several turns.
            keep_s: how long rows that were put are kept, without their bodies; 0: they are deleted at once.
            ledger: counts events that were put, as a ``Producer`` does.
            apart: queues may be at several servers, as in a cluster: one that is away says nothing of the others.

        Raises:
            ConfigurationError: an alias or a database that will not do, or a number out of its limits.
        """
        check_database(using)
        if not 1 <= batch <= MAX_BATCH:
            raise ConfigurationError(f"batch={batch}: the limits are 1 and {MAX_BATCH:,}")
        if keep_s < 0:
            raise ConfigurationError(f"keep_s={keep_s}: it is a number of seconds, 0 for not at all")
        self._make_queue = queue
        self._queues: dict[str, Queue] = {}
        self._using = using
        self._batch = self._most = batch
        self._keep_s = keep_s
        self._ledger = ledger
        self._of_one: tuple[type[Exception], ...] = (*OF_ONE_QUEUE, RedisError) if apart else OF_ONE_QUEUE

    def round(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """One turn for each partition that has waiting rows and is free; how many rows left the outbox.

        ``go_on`` is asked before each turn: a round ends early where it says no.

        Raises:
            QueueFull: a queue has no room, after the others had their turn; the next turns are smaller.
            redis.exceptions.ResponseError, RealtimeError: a queue refused (its name is none, this user may not write there,
                it is of another version), after the others had their turn; its rows wait.
            redis.exceptions.RedisError: the put failed, or its reply was lost; the rows wait. Queues that are ``apart`` had their
                turn all the same.
            django.db.Error: the database failed; what was put and not marked is put again under the same ids.
        """
        moved = 0
        held: Exception | None = None
        partition = self._next_partition(-1)
        while partition is not None and go_on():
            try:
                moved += self.turn(partition)
            except self._of_one as error:
                held = held if isinstance(held, QueueFull) else error
            partition = self._next_partition(partition)
        if isinstance(held, QueueFull):
            self._batch = max(1, self._batch // 2)
        else:
            self._batch = min(self._most, self._batch * 2)
        if held is not None:
            raise held
        return moved

    def turn(self, partition: int) -> int:
        """Put one batch of a partition; 0 where another relay has it. Raises as :meth:`round`."""
        done: list[Captured] = []
        left = 0
        held: Exception | None = None
        with partition_turn(self._using, partition) as mine:
            if not mine:
                BUSY.inc()
                return 0
            # Who holds the partition is alone with its waiting rows; one that somebody locked by hand is left for later.
            waiting = self._waiting().filter(partition=partition).order_by("number")
            rows = _of_size(waiting.select_for_update(skip_locked=True)[: self._batch])
            for name in dict.fromkeys(row.queue for row in rows):
                its = [row for row in rows if row.queue == name]
                try:
                    done += self._put(name, its)
                    left += len(its)
                except self._of_one as error:
                    held = held if isinstance(held, QueueFull) else error
        self._count(done)
        if held is not None:
            raise held
        return left

    def _count(self, done: Sequence[Captured]) -> None:
        try:
            fire(self._ledger, done)
            take(self._ledger, done)
        except Exception:  # noqa: BLE001 - they are put, and their rows are marked
            _log.exception("%d event(s) not counted in the ledger", len(done))
        flush(self._ledger)

    def purge(self) -> int:
        """Delete up to 1,000 rows that were put longer than ``keep_s`` ago; how many. What was refused stays.

        One relay at a time does it: two that delete the same rows would wait for each other.
        """
        old = self._rows().filter(put_at__lt=time.time() - self._keep_s, refused="").order_by("put_at")
        with partition_turn(self._using, PARTITIONS) as mine:
            numbers = list(old.values_list("number", flat=True)[:PURGED_AT_ONCE]) if mine else []
            if numbers:
                self._rows().filter(number__in=numbers).delete()
        return len(numbers)

    def waiting(self) -> tuple[int, float]:
        """How many rows wait, counted up to 100,000, and how old the oldest event is, seconds."""
        count = self._waiting().order_by()[:COUNTED].count()
        oldest: float | None = None
        partition = self._next_partition(-1) if count else None
        while partition is not None:
            first = self._waiting().filter(partition=partition).order_by("number").values_list("at", flat=True).first()
            if first is not None:
                oldest = first if oldest is None else min(oldest, first)
            partition = self._next_partition(partition)
        return count, 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _put(self, name: str, rows: Sequence[OutboxRow]) -> list[Captured]:
        """Put rows of one queue in their order, then mark them; what is no job is set aside and named."""
        events: list[Captured] = []
        numbers: list[int] = []
        refused: dict[int, str] = {}
        for row in rows:
            try:
                job = Job(id=row.job, body=bytes(row.body), key=row.key or None)
                events.append(Captured(job=job, at=row.at, kind=row.kind, model=row.model, key=row.object))
                numbers.append(row.number)
            except ConfigurationError as error:
                refused[row.number] = str(error)
        taken = self._queue(name).put([event.job for event in events])
        self._mark(numbers)
        for number, why in refused.items():
            _log.error("row %d of the outbox is set aside: %s", number, why)
            self._rows().filter(number=number).update(put_at=time.time(), refused=why[:REFUSAL])
        ROWS.labels(outcome=PUT).inc(sum(taken))
        ROWS.labels(outcome=DUPLICATE).inc(len(taken) - sum(taken))
        ROWS.labels(outcome=REFUSED).inc(len(refused))
        return events

    def _mark(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        put = self._rows().filter(number__in=numbers)
        if self._keep_s:
            put.update(put_at=time.time(), body=b"")
        else:
            put.delete()

    def _queue(self, name: str) -> Queue:
        if name not in self._queues:
            self._queues[name] = self._make_queue(name)
        return self._queues[name]

    def _next_partition(self, after: int) -> int | None:
        """The next partition with waiting rows: one look into the index each, however many wait."""
        found: int | None = self._waiting().filter(partition__gt=after).aggregate(first=Min("partition"))["first"]
        return found

    def _waiting(self) -> QuerySet[OutboxRow]:
        return self._rows().filter(put_at__isnull=True)

    def _rows(self) -> QuerySet[OutboxRow]:
        return OutboxRow._base_manager.using(self._using)  # noqa: SLF001 - documented


def _of_size(waiting: QuerySet[OutboxRow]) -> list[OutboxRow]:
    """The first rows whose bodies come to ``MOST_BYTES``, one at least: 500 of a megabyte would be half a gigabyte here."""
    rows: list[OutboxRow] = []
    size = 0
    with closing(waiting.iterator(chunk_size=READ_AT_ONCE)) as reading:
        for row in reading:
            size += len(row.body)
            if rows and size > MOST_BYTES:
                break
            rows.append(row)
    return rows
