"""Whose turn a partition is: one relay at a time, so that the events of a key keep their order."""

from __future__ import annotations

import fcntl
import os
from binascii import crc32
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, transaction

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

# The first of the two numbers of an advisory lock, signed 32 bits; the second is the partition.
LOCK_CLASS: Final = crc32(b"realtime_outbox") - 2**31


def check_database(using: str) -> None:
    """Raise ConfigurationError for an alias that is none, or a database that is neither PostgreSQL nor SQLite."""
    if using not in connections:
        raise ConfigurationError(f"database {using!r} is not in DATABASES: there are {', '.join(sorted(connections))}")
    vendor = connections[using].vendor
    if vendor not in ("postgresql", "sqlite"):
        raise ConfigurationError(
            f"database {using!r} is {vendor}: the relay works with PostgreSQL, and with SQLite alone"
        )


@contextmanager
def partition_turn(using: str, partition: int) -> Iterator[bool]:
    """Hold a partition for the block; False where another relay has it.

    PostgreSQL: the block is a transaction with an advisory lock, which ends with the transaction, and so with the
    connection, however a relay dies. It works behind a pooler that shares connections by transaction. SQLite: the lock is
    the whole relay's, see :func:`only_relay`; no transaction is open meanwhile, which would hold up every writer.
    """
    connection = connections[using]
    if connection.vendor == "sqlite":
        yield True
        return
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK_CLASS, partition])
            ((mine,),) = cursor.fetchall()
        yield mine


@contextmanager
def only_relay(using: str) -> Iterator[None]:
    """On SQLite hold the one relay's place, a locked file beside the database's, for the block.

    Raises:
        ConfigurationError: another relay holds it.
    """
    path = _lock_file(connections[using])
    if path is None:
        yield
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another relay holds {path}: with SQLite there is one, end that first") from None
        yield
    finally:
        os.close(file)


def _lock_file(connection: BaseDatabaseWrapper) -> str | None:
    name: Any = connection.settings_dict["NAME"]
    if connection.vendor != "sqlite" or ":memory:" in str(name) or "mode=memory" in str(name):
        return None
    return f"{str(name).removeprefix('file:').partition('?')[0]}.outbox-relay"
