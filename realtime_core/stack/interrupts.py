"""Holds Ctrl-C back for the moment in which a child exists and nobody knows of it yet."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is over; what came meanwhile is then acted upon. Main thread only.

    By handlers, not by the signal mask: another thread with the signal unblocked would take it, and Python would still
    raise in this one.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # What is ignored stays so, and so does what acts without Python.
    before = {number: handler for number in _HELD if callable(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for held in came:
            signal.raise_signal(held)
