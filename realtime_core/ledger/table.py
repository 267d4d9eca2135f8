"""The invertible table: a bag of (key, times) summed into cells, subtracted, and decoded. Pure.

Every key lies in one cell of each of four sub-tables. A cell holds three sums over the keys in it: how many times,
times x key, times x check; the last two modulo the prime 2^61 - 1. A cell with one distinct key left gives that key
back, whatever its count, because a count can be divided out modulo a prime: that is what XOR cannot do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from realtime_core.errors import ConfigurationError
from realtime_core.ledger.hashing import CELL_SALT, CHECK_SALT, KEY_MASK, MIX_1, MIX_2, PRIME, check_of, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VERSION: Final = 1
HASHES: Final = 4
CELLS: Final = 1024
# |times| of one entry and entries of one pass: with both, a half sum stays below 2^62 and an int64 cannot overflow.
MAX_TIMES: Final = 1 << 20
_MAX_PASS: Final = 1 << 11
_HALF: Final = 30
_HALF_MASK: Final = (1 << _HALF) - 1
_HEAD: Final = struct.Struct("<BBHI")
_COUNT_TYPES: Final = ("<i1", "<i2", "<i4", "<i8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a table gave back: ``times`` by key (never 0), and how many differences at least it could not name."""

    items: dict[int, int]
    undecoded: int


class Table:
    """``cells`` cells, a power of two, in four sub-tables: 1,024 name about 100 differences, 4,096 about 2,700."""

    __slots__ = ("cells", "checks", "counts", "keys")

    def __init__(self, cells: int = CELLS) -> None:
        if cells < 16 or cells & (cells - 1) or cells > 1 << 15:  # noqa: PLR2004
            raise ConfigurationError(f"a table of {cells} cells: a power of two from 16 to 32768 is needed")
        self.cells = cells
        self.counts = np.zeros(cells, dtype=np.int64)
        self.keys = np.zeros(cells, dtype=np.int64)
        self.checks = np.zeros(cells, dtype=np.int64)

    def add(self, keys: Sequence[int] | NDArray[np.uint64], times: Sequence[int] | NDArray[np.int64]) -> None:
        """Add each key ``times`` times; negative times take it out. |times| may be at most ``MAX_TIMES``."""
        all_keys = np.asarray(keys, dtype=np.uint64)
        all_times = np.asarray(times, dtype=np.int64)
        if all_times.size and max(int(all_times.max()), -int(all_times.min())) > MAX_TIMES:
            raise ConfigurationError(f"a key counted more than {MAX_TIMES} times in one entry: count it in several")
        for start in range(0, all_keys.size, _MAX_PASS):
            self._pass(all_keys[start : start + _MAX_PASS], all_times[start : start + _MAX_PASS])

    def _pass(self, keys: NDArray[np.uint64], times: NDArray[np.int64]) -> None:
        checks = _mix(keys ^ np.uint64(CHECK_SALT)) >> np.uint64(3)
        cells = _cells(keys, self.cells)
        np.add.at(self.counts, cells, np.tile(times, HASHES))
        for total, words in ((self.keys, keys), (self.checks, checks)):
            low = np.zeros(self.cells, dtype=np.int64)
            high = np.zeros(self.cells, dtype=np.int64)
            np.add.at(low, cells, np.tile((words & np.uint64(_HALF_MASK)).astype(np.int64) * times, HASHES))
            np.add.at(high, cells, np.tile((words >> np.uint64(_HALF)).astype(np.int64) * times, HASHES))
            high %= PRIME
            # x * 2^30 modulo 2^61 - 1 is a rotation of x's 61 bits, so nothing overflows.
            shifted = (high >> 31) + ((high & 0x7FFFFFFF) << _HALF)
            total[:] = (total + shifted % PRIME + low % PRIME) % PRIME

    def merge(self, other: Table, sign: int = 1) -> None:
        """Add (``sign`` 1) or subtract (-1) another table of the same size, in place."""
        if other.cells != self.cells:
            raise ConfigurationError(f"tables of {self.cells} and {other.cells} cells cannot be summed: use one size")
        self.counts += sign * other.counts
        self.keys = (self.keys + sign * other.keys) % PRIME
        self.checks = (self.checks + sign * other.checks) % PRIME

    def copy(self) -> Table:
        """The same bag in a table of its own."""
        twin = Table(self.cells)
        twin.merge(self)
        return twin

    def is_zero(self) -> bool:
        """Whether nothing is left in any cell."""
        return not (self.counts.any() or self.keys.any() or self.checks.any())

    def decode(self) -> Decoded:
        """Name every key that can be named, with its times; the table itself stays as it is.

        A name is given only where count, key sum and check sum agree and the key belongs into the cell: a wrong one
        would have to pass a 61-bit check. What cannot be named is a lower bound: the most that one sub-table still
        counts.
        """
        counts, keys, checks = self.counts.tolist(), self.keys.tolist(), self.checks.tolist()
        items: dict[int, int] = {}
        todo = [cell for cell in range(self.cells) if counts[cell]]
        # Each true name empties a cell for good; the bound ends the loop even for bytes that no counting produced.
        left = 16 * self.cells
        while todo and left:
            cell = todo.pop()
            times = counts[cell]
            key = _pure(cell, times, keys[cell], checks[cell], self.cells)
            if key is None:
                continue
            left -= 1
            items[key] = items.get(key, 0) + times
            check = check_of(key)
            for other in cells_of(key, self.cells):
                counts[other] -= times
                keys[other] = (keys[other] - times * key) % PRIME
                checks[other] = (checks[other] - times * check) % PRIME
                if counts[other]:
                    todo.append(other)
        rest = 0
        if any(counts) or any(keys) or any(checks):
            quarter = self.cells // HASHES
            rest = max(1, *(sum(map(abs, counts[at : at + quarter])) for at in range(0, self.cells, quarter)))
        return Decoded(items={key: times for key, times in items.items() if times}, undecoded=rest)

    def to_bytes(self) -> bytes:
        """Version, size and the cells that are not zero; counts in the fewest bytes that hold them all."""
        used = np.flatnonzero(self.counts | self.keys | self.checks)
        counts = self.counts[used]
        most = int(np.abs(counts).max()) if used.size else 0
        code = next(code for code, bits in enumerate((7, 15, 31, 63)) if most < 1 << bits)
        dense = used.size == self.cells
        return b"".join(
            (
                _HEAD.pack(VERSION, code, self.cells, used.size),
                b"" if dense else used.astype("<u2").tobytes(),
                counts.astype(_COUNT_TYPES[code]).tobytes(),
                self.keys[used].astype("<i8").tobytes(),
                self.checks[used].astype("<i8").tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> Table:
        """The table that ``to_bytes`` wrote; ``ConfigurationError`` for another version or bytes that are none."""
        if len(packed) < _HEAD.size:
            raise ConfigurationError(f"a table of {len(packed)} bytes: at least {_HEAD.size} are needed")
        version, code, cells, used = _HEAD.unpack_from(packed)
        if version != VERSION:
            raise ConfigurationError(f"a table of version {version}, this reader knows {VERSION}: upgrade the reader")
        if code >= len(_COUNT_TYPES) or used > cells:
            raise ConfigurationError(f"a table with {used} of {cells} cells, counts of kind {code}: not a table")
        table = cls(cells)
        widths = (0 if used == cells else 2, 1 << code, 8, 8)
        if len(packed) != _HEAD.size + used * sum(widths):
            raise ConfigurationError(
                f"a table of {len(packed)} bytes, {_HEAD.size + used * sum(widths)} were announced"
            )
        starts = [_HEAD.size + used * sum(widths[:part]) for part in range(4)]
        where = np.arange(cells) if used == cells else np.frombuffer(packed, "<u2", used, starts[0]).astype(np.int64)
        if used and int(where.max()) >= cells:
            raise ConfigurationError(f"a table of {cells} cells with a cell {int(where.max())}: not a table")
        table.counts[where] = np.frombuffer(packed, _COUNT_TYPES[code], used, starts[1])
        table.keys[where] = np.frombuffer(packed, "<i8", used, starts[2]) % PRIME
        table.checks[where] = np.frombuffer(packed, "<i8", used, starts[3]) % PRIME
        return table


def cells_of(key: int, cells: int = CELLS) -> tuple[int, ...]:
    """The four cells of a key, one in each sub-table."""
    quarter = cells // HASHES
    word = mix(key ^ CELL_SALT)
    return tuple(part * quarter + ((word >> (16 * part)) & (quarter - 1)) for part in range(HASHES))


def _pure(cell: int, times: int, key_sum: int, check_sum: int, cells: int) -> int | None:
    """The one key that is left in a cell, or None where several are, or none."""
    if not times % PRIME:
        return None
    key = key_sum if times == 1 else key_sum * pow(times, -1, PRIME) % PRIME
    if not 0 < key <= KEY_MASK or times * check_of(key) % PRIME != check_sum or cell not in cells_of(key, cells):
        return None
    return key


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(MIX_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(MIX_2)
    return words ^ (words >> np.uint64(31))


def _cells(keys: NDArray[np.uint64], cells: int) -> NDArray[np.int64]:
    """``cells_of`` for many keys: first all keys' cells of sub-table 0, then of 1, and so on."""
    quarter = cells // HASHES
    words = _mix(keys ^ np.uint64(CELL_SALT))
    parts = [
        ((words >> np.uint64(16 * part)) & np.uint64(quarter - 1)) + np.uint64(part * quarter) for part in range(HASHES)
    ]
    return np.concatenate(parts).astype(np.int64)
