"""Hashing: how an id becomes a key, and a key its cells and its check. Pure; both sides of a hop must hash alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

KEY_MASK: Final = (1 << 60) - 1
PRIME: Final = (1 << 61) - 1
WORD_MASK: Final = (1 << 64) - 1
# Splitmix64's finaliser: two odd multipliers, three shifts. table.py has the same in numpy.
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
CELL_SALT: Final = 0x9E3779B97F4A7C15
CHECK_SALT: Final = 0xD1B54A32D192ED03


def key_of(text: str) -> int:
    """The key of an id: 60 bits of xxh3 of its UTF-8, never 0 (a zero could not be told from an empty cell)."""
    try:
        return (xxh3_64_intdigest(text.encode()) & KEY_MASK) or 1
    except UnicodeEncodeError:  # a lone surrogate out of somebody's JSON is an id like any other
        return (xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) & KEY_MASK) or 1


def key_list(ids: Sequence[str]) -> list[int]:
    """``key_of`` for each id, as plain integers: no numpy, 0.1 µs an id."""
    digest, mask = xxh3_64_intdigest, KEY_MASK
    try:
        return [(digest(text.encode()) & mask) or 1 for text in ids]
    except UnicodeEncodeError:
        return [key_of(text) for text in ids]


def keys_of(ids: Sequence[str]) -> NDArray[np.uint64]:
    """``key_of`` for each id, as an array that ``sent`` and ``received`` take in place of the ids."""
    import numpy as np  # noqa: PLC0415 - hooks and the agent must not pay for numpy

    return np.array(key_list(ids), dtype=np.uint64)


def mix(word: int) -> int:
    """64 well mixed bits of a 64-bit word."""
    word = (word ^ (word >> 30)) * MIX_1 & WORD_MASK
    word = (word ^ (word >> 27)) * MIX_2 & WORD_MASK
    return word ^ (word >> 31)


def check_of(key: int) -> int:
    """The 61-bit check of a key, below ``PRIME``."""
    return (mix(key ^ CHECK_SALT) >> 3) % PRIME
