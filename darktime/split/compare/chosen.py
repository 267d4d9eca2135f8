"""Which copies are compared by content: a share of them that anybody can name afterwards. Pure."""

from __future__ import annotations

import xxhash


def chosen(request_id: str, share: float) -> bool:
    """Whether the request is among the ``share``: XXH3 (64 bits, seed 0) of its id is below ``share`` times 2^64."""
    return xxhash.xxh3_64_intdigest(request_id.encode()) < share * 2.0**64
