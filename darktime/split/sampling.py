"""Sampling: which users are in. Pure; the same arithmetic as nginx's ``split_clients``, bit for bit.

A user's bucket is the MurmurHash2 (seed 0) of ``SALT:USER`` in steps of 0.1 %. A percentage takes the buckets from 0
up: a ramp up keeps everybody who was in, a ramp down keeps the first.
"""

from __future__ import annotations

import re
from typing import Final

from darktime.errors import UsageError

BUCKETS: Final = 1000
MOST_CONTROL: Final = 100
LEAST_CONTROL: Final = 10
# nginx adds up ``n * 0xffffffff / 10000`` for n hundredths of a percent, each part rounded down: 0.1 % is n = 10.
STEP: Final = 10 * 0xFFFFFFFF // 10_000
_USER: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_SALT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_WORD: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x5BD1E995


def murmur2(text: bytes) -> int:
    """MurmurHash2 with seed 0, 32 bits. The hash of nothing is 0: whoever gates on it must refuse an empty key."""
    rest = len(text)
    hashed = rest & _WORD
    index = 0
    while rest >= 4:  # noqa: PLR2004 - a word
        word = int.from_bytes(text[index : index + 4], "little") * _MULTIPLIER & _WORD
        word = (word ^ (word >> 24)) * _MULTIPLIER & _WORD
        hashed = (hashed * _MULTIPLIER & _WORD) ^ word
        index += 4
        rest -= 4
    if rest:
        hashed ^= int.from_bytes(text[index:], "little")
        hashed = hashed * _MULTIPLIER & _WORD
    hashed = (hashed ^ (hashed >> 13)) * _MULTIPLIER & _WORD
    return hashed ^ (hashed >> 15)


def valid_user(user: bytes) -> bool:
    """Whether this can be a user: 1 to 128 of ``A-Z a-z 0-9 _ . : -``. Anybody else is never sampled."""
    return _USER.fullmatch(user) is not None


def valid_salt(salt: str) -> bool:
    """Whether this can be an experiment's name: 1 to 64 of ``A-Z a-z 0-9 _ . -``."""
    return _SALT.fullmatch(salt) is not None


def bucket(salt: str, user: str) -> int | None:
    """The user's bucket, 0 to 999; None for no valid user, and for the 295 hashes of 2^32 that rounding leaves over."""
    raw = user.encode("utf-8", "surrogateescape")
    if not valid_user(raw):
        return None
    found = murmur2(salt.encode() + b":" + raw) // STEP
    return found if found < BUCKETS else None


def buckets_for(percent: float) -> int:
    """How many buckets make ``percent``; they are 0 up to this. Raises UsageError."""
    tenths = round(percent * 10) if 0 <= percent <= 100 else -1  # noqa: PLR2004 - percent; nan is none
    if not 0 <= tenths <= BUCKETS or abs(tenths - percent * 10) > 1e-6:  # noqa: PLR2004 - what floats leave over
        raise UsageError(f"{percent:g} percent: 0 to 100 in steps of 0.1, please")
    return tenths


def control_buckets(limit: int) -> range:
    """A quarter as many buckets as may be mirrored, whose users are watched beside those that are: each costs log lines.

    At least a hundredth of all, a tenth at most. Behind ``limit``, as far as there are any; where nearly all may be
    mirrored, the last, as long as those are not in.
    """
    size = min(max(limit // 4, LEAST_CONTROL), MOST_CONTROL)
    start = min(limit, BUCKETS - size)
    return range(start, start + size)


def sampled(salt: str, user: str, percent: float) -> bool:
    """Whether the user is in at ``percent``. Raises UsageError for a percentage that cannot be."""
    limit = buckets_for(percent)
    found = bucket(salt, user)
    return found is not None and found < limit
