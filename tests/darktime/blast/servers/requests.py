"""Takes HTTP/1.x requests out of bytes. Pure, and quick because the same heads come again and again."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

MAX_HEAD = 65_536
MAX_BODY = 16_777_216


class RequestError(Exception):
    """What came is no request that these servers understand."""


class Head(NamedTuple):
    """One request without its body; ``headers`` by names in lower case."""

    method: bytes
    path: bytes
    query: bytes
    modern: bool  # HTTP/1.1, not 1.0
    keep_alive: bool
    length: int
    headers: dict[bytes, bytes]


def take(data: bytes) -> tuple[Head, bytes, bytes] | None:
    """The first request in ``data``, its body and what follows; None until it is whole. Raises RequestError."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise RequestError(f"a head of more than {MAX_HEAD} bytes")
        return None
    head = read_head(data[:end])
    stop = end + 4 + head.length
    if len(data) < stop:
        return None
    return head, data[end + 4 : stop], data[stop:]


@lru_cache(maxsize=4096)
def read_head(text: bytes) -> Head:
    """A head without its last empty line. Raises RequestError."""
    first, *lines = text.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise RequestError(f"no request line: {first[:80]!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise RequestError(f"no header: {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    if b"transfer-encoding" in headers:
        raise RequestError("bodies need Content-Length here")
    try:
        length = int(headers.get(b"content-length", b"0"))
    except ValueError:
        length = -1
    if not 0 <= length <= MAX_BODY:
        raise RequestError(f"Content-Length {headers[b'content-length'][:40]!r}")
    modern = words[2] == b"HTTP/1.1"
    connection = headers.get(b"connection", b"").lower()
    path, _, query = words[1].partition(b"?")
    return Head(
        method=words[0],
        path=path,
        query=query,
        modern=modern,
        keep_alive=connection != b"close" if modern else connection == b"keep-alive",
        length=length,
        headers=headers,
    )


def argument(head: Head, name: bytes) -> bytes:
    """One argument of the query, as it stands; empty if it is not there."""
    for pair in head.query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name:
            return value
    return b""
