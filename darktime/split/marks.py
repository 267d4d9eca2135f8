"""Marks: what stands for a user or a value that must not be written down. Pure; HMAC-SHA256 under the run's secret."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

LENGTH: Final = 16
_MOST_REMEMBERED: Final = 4_096
_LONGEST_REMEMBERED: Final = 128


def mark(secret: str, value: str) -> str:
    """16 hex digits that are the same for the same value within one run, and say nothing outside of it."""
    return hmac.digest(secret.encode(), value.encode("utf-8", "surrogateescape"), "sha256").hex()[:LENGTH]


def remembered_mark(secret: str, value: str) -> str:
    """The same, for values that come again and again; the last few thousand short ones are remembered."""
    return _remembered(secret, value) if len(value) <= _LONGEST_REMEMBERED else mark(secret, value)


_remembered = lru_cache(maxsize=_MOST_REMEMBERED)(mark)
