"""The usual reply, whole in one read and of the common form: what the records need of it, without reading all of it. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from darktime.split.compare.pair import STREAM_TYPE
from darktime.split.log_format import plain_type
from darktime.wire.errors import WireError
from darktime.wire.head import MAX_REMEMBERED, head_end, parse_head

_END: Final = b"\r\n\r\n"


def quick_reply(data: bytes) -> tuple[int, str, int] | None:
    """Status, content type and length of body of a whole reply after which the connection stays; None for every other.

    Not for replies to HEAD.
    """
    end = data.find(_END) + len(_END)
    if not len(_END) <= end <= MAX_REMEMBERED:
        return None
    told = _told(data[:end])
    return None if told is None or end + told[2] != len(data) else told


@lru_cache(maxsize=512)
def _told(raw: bytes) -> tuple[int, str, int] | None:
    if head_end(raw) != len(raw):  # with line ends of two kinds it ended before that, for who reads exactly
        return None
    try:
        head = parse_head(raw)
    except WireError:
        return None
    if head is None or head.chunked or head.length is None or not head.keep_alive:
        return None
    content_type = plain_type((head.header(b"content-type") or b"").decode("latin-1"))
    return None if content_type == STREAM_TYPE else (head.status, content_type, head.length)
