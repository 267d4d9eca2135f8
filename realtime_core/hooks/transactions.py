"""Which events a Django transaction commits: all together, in order, once, and none that a rollback took back."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.hooks.event import Captured
    from realtime_core.hooks.producer import Producer

_NO_SAVEPOINT: Final[list[str]] = []


class _Transaction:
    """How many calls one transaction has had. One that was rolled back has none of its callbacks run: the next one goes on."""

    __slots__ = ("commits", "registered")

    def __init__(self) -> None:
        self.registered = 0
        self.commits = False


class _Committed:
    """What survived on one connection and is not put yet, and the transaction that is open there."""

    __slots__ = ("events", "transaction")

    def __init__(self) -> None:
        self.events: list[Captured] = []
        self.transaction = _Transaction()


# By connection (one a thread and database), then by producer: all models of a producer share a transaction's batch.
_open: Final[WeakKeyDictionary[Any, WeakKeyDictionary[Producer, _Committed]]] = WeakKeyDictionary()
_lock: Final = Lock()


def put_on_commit(producer: Producer, events: Sequence[Captured], using: str | None) -> None:
    """Put ``events`` when the transaction that is open on ``using`` commits; at once when there is none.

    A call registers two callbacks. The first belongs to the savepoint it happened in, as on_commit callbacks do:
    it runs if the events survived. The second belongs to the transaction itself, so that the one registered last always
    runs, after all others: it puts what survived.

    Raises:
        django.db.transaction.TransactionManagementError: the connection is neither in autocommit nor in ``atomic``.
    """
    connection = transaction.get_connection(using)
    with _lock:
        committed = _open.setdefault(connection, WeakKeyDictionary()).setdefault(producer, _Committed())
    if committed.transaction.commits:
        # The application's own callback saves something while the first transaction's callbacks still run, or they are over.
        committed.transaction = _Transaction()
    current = committed.transaction
    number = current.registered + 1

    def survived() -> None:
        current.commits = True
        committed.events.extend(events)

    def ended() -> None:
        current.commits = True
        if number == current.registered:
            survivors, committed.events = committed.events, []
            producer.put(survivors)

    transaction.on_commit(survived, using=using)
    current.registered = number
    savepoints, connection.savepoint_ids = connection.savepoint_ids, _NO_SAVEPOINT
    try:
        transaction.on_commit(ended, using=using)
    finally:
        connection.savepoint_ids = savepoints
