"""Waiting for what a finished job left: read without taking it away, so that any number may wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from redis import Redis

# Redis reads a timeout of 0 as for ever.
SHORTEST_BLOCK_S: Final = 0.01


def wait_for_result(redis: Redis, key: str, wait_s: float, longest_block_s: float) -> bytes | None:
    """The result under ``key``, or None if it did not come within ``wait_s``."""
    deadline = time.monotonic() + wait_s
    while True:
        found = redis.lindex(key, 0)
        left_s = deadline - time.monotonic()
        if found is None and left_s > 0:
            # From the list into the list: it stays where it is, for others who wait.
            block_s = max(SHORTEST_BLOCK_S, min(left_s, longest_block_s))
            found = redis.execute_command("BLMOVE", key, key, "LEFT", "RIGHT", block_s)  # type: ignore[no-untyped-call]
        if found is not None or left_s <= 0:
            return cast("bytes | None", found)
