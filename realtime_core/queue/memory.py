"""Knowing that a server is out of memory by what it answers. Pure."""

from __future__ import annotations

from typing import Final

from redis.exceptions import OutOfMemoryError, ResponseError

# Redis 7 begins with it what it says about a script too; before that it stood in the middle, and redis-py does not see it.
OUT_OF_MEMORY: Final = "OOM command not allowed"


def understood(error: ResponseError) -> ResponseError:
    """The error itself, or redis-py's own for a server without memory where the answer says that in other words."""
    if not isinstance(error, OutOfMemoryError) and OUT_OF_MEMORY in str(error):
        return OutOfMemoryError(str(error))
    return error
