"""Waiting on a condition, with a limit: what tests do instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
POLL_S = 0.01


def wait_until(predicate: Callable[[], T], timeout_s: float = 5.0, what: str = "the condition") -> T:
    """Ask ``predicate`` until its answer is true, and return that; fail with ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come about within {timeout_s:g} s; the last answer was {answer!r}")
        time.sleep(POLL_S)
