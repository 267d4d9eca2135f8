"""What keeps two formats of one queue apart: who speaks the older one is refused, and so is a queue that still holds its jobs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import OutOfMemoryError

from realtime_core.errors import OlderFormat
from realtime_core.queue.keys import FORMAT, older_jobs_key

if TYPE_CHECKING:
    from redis import Redis

NOTE: Final = f"this queue has moved to format {FORMAT}: upgrade"


def refuse_older(redis: Redis, name: str) -> None:
    """Put a note where the format before this one keeps its jobs: there its moves fail from now on, with WRONGTYPE.

    Raises:
        OlderFormat: jobs are there, put by an older version.
    """
    key = older_jobs_key(name)
    found = redis.type(key)
    if found == b"none":
        # A server without memory takes no note and no job either, and must still be drained.
        with suppress(OutOfMemoryError):
            redis.set(key, NOTE, nx=True)
            found = redis.type(key)
    if found == b"hash":
        raise OlderFormat(
            f"queue {name} holds {redis.hlen(key):,} jobs in the format before {FORMAT}, which this version does not read: "
            "stop what puts jobs, let workers of the older version finish them, then upgrade all together"
        )
