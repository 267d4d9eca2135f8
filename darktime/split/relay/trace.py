"""The trace that each copy gets for itself: W3C's traceparent, of random bytes that the kernel is asked for by the thousand."""

from __future__ import annotations

import os
from typing import Final

_DIGITS: Final = 48  # of one: 32 of the trace, 16 of its first span
_AT_ONCE: Final = 256


class _Random:
    """Hexadecimal digits of one process, each given once."""

    __slots__ = ("at", "digits")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked child must: it would give what its parent gives."""
        self.digits = ""
        self.at = 0


_random = _Random()
os.register_at_fork(after_in_child=_random.forget)


def traceparent() -> str:
    """A new one. Not for threads: two might get the same."""
    at = _random.at
    if at == len(_random.digits):
        _random.digits = os.urandom(_DIGITS // 2 * _AT_ONCE).hex()
        at = 0
    _random.at = at + _DIGITS
    digits = _random.digits
    return f"00-{digits[at : at + 32]}-{digits[at + 32 : at + 48]}-01"
