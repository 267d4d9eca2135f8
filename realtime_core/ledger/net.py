"""What is left of one window on one hop: exact entries while they are few, a table once they are many. Pure.

A window of a quiet hop never needs a table, nor numpy: its entries say exactly what is missing, however much it is.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from realtime_core.ledger.table import Decoded, Table

VERSION: Final = 1
# Entries kept apart before they go into the table: 512 are 4.6 kB a flush, a full table is 18 kB.
FOLD_AT: Final = 512
_HEAD: Final = struct.Struct("<BBIIQQ")
_TIMES: Final = "bhiq"


def _table_type() -> type[Table]:
    from realtime_core.ledger.table import Table  # noqa: PLC0415 - the only way to numpy, taken on first need

    return Table


def prepare() -> None:
    """Import now what counting many ids needs: about a tenth of a second in which this process does nothing else."""
    _table_type()


class Net:
    """A bag of (key, times) in which sent counts up, received and explained count down."""

    __slots__ = ("keys", "table", "times")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.times: list[int] = []
        self.table: Table | None = None

    def fold(self) -> None:
        """Move the entries into the table."""
        if self.table is None:
            self.table = _table_type()()
        self.table.add(self.keys, self.times)
        self.keys, self.times = [], []

    def cancel(self) -> None:
        """Sum the entries of each key and forget those that came to nothing; an empty table goes too."""
        sums: dict[int, int] = defaultdict(int)
        for key, times in zip(self.keys, self.times, strict=True):
            sums[key] += times
        self.keys = [key for key, times in sums.items() if times]
        self.times = [sums[key] for key in self.keys]
        if self.table is not None and self.keys:
            self._fold_sums()
        if self.table is not None and self.table.is_zero():
            self.table = None

    def _fold_sums(self) -> None:
        from realtime_core.ledger.table import MAX_TIMES  # noqa: PLC0415

        keys, times = [], []
        for key, total in zip(self.keys, self.times, strict=True):
            sign, rest = (1, total) if total > 0 else (-1, -total)
            while rest:
                keys.append(key)
                times.append(sign * min(rest, MAX_TIMES))
                rest -= min(rest, MAX_TIMES)
        self.keys, self.times = keys, times
        self.fold()

    def merge(self, other: Net) -> None:
        """Add another bag to this one; the other stays as it is."""
        self.keys += other.keys
        self.times += other.times
        if other.table is not None:
            self.merge_table(other.table)

    def merge_table(self, table: Table) -> None:
        """Add a table's bag to this one."""
        if self.table is None:
            self.table = table.copy()
        else:
            self.table.merge(table)

    def merge_packed(self, packed: bytes) -> None:
        """Add a table's bag to this one, as ``Table.to_bytes`` wrote it."""
        table = _table_type().from_bytes(packed)
        if self.table is None:
            self.table = table
        else:
            self.table.merge(table)

    def is_zero(self) -> bool:
        """Whether nothing is left; only certain after ``cancel``."""
        return not self.keys and self.table is None

    def decode(self) -> Decoded:
        """Every key that is left, with its times, and how much could not be named."""
        from realtime_core.ledger.table import Decoded  # noqa: PLC0415

        self.cancel()
        if self.table is not None:
            return self.table.decode()
        return Decoded(items=dict(zip(self.keys, self.times, strict=True)), undecoded=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What an owner wrote beside its table: plain totals, and the entries counted since the table was last written."""

    sent: int
    received: int
    explained: dict[str, int] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """Version, totals, reasons as JSON, then the keys and their times."""
        most = max(map(abs, self.times), default=0)
        code = next(code for code, bits in enumerate((7, 15, 31, 63)) if most < 1 << bits)
        reasons = json.dumps(self.explained).encode() if self.explained else b""
        size = len(self.keys)
        return b"".join(
            (
                _HEAD.pack(VERSION, code, size, len(reasons), self.sent, self.received),
                reasons,
                struct.pack(f"<{size}Q", *self.keys),
                struct.pack(f"<{size}{_TIMES[code]}", *self.times),
            )
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> Entries:
        """The entries that ``to_bytes`` wrote; ``ConfigurationError`` for another version or bytes that are none."""
        if packed[:1] != bytes([VERSION]):
            raise ConfigurationError(
                f"entries of version {packed[:1]!r}, this reader knows {VERSION}: upgrade the reader"
            )
        try:
            _, code, size, reasons, sent, received = _HEAD.unpack_from(packed)
            start = _HEAD.size + reasons
            explained = json.loads(packed[_HEAD.size : start]) if reasons else {}
            keys = struct.unpack_from(f"<{size}Q", packed, start)
            times = struct.unpack_from(f"<{size}{_TIMES[code]}", packed, start + 8 * size)
        except (struct.error, ValueError, IndexError) as error:
            raise ConfigurationError(f"{len(packed)} bytes that are no entries of a ledger: {error}") from error
        return cls(sent=sent, received=received, explained=explained, keys=list(keys), times=list(times))
