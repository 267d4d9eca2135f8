"""The head of an HTTP/1.1 reply: status, headers and how long its body is. Pure.

Heads of the common form are matched by one strict pattern and remembered, since a server sends the same head many
times a second; every other head goes through h11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import h11

from darktime.wire.errors import WireError

MAX_HEAD = 65_536
MAX_REMEMBERED = 4096  # bytes of a head that may be remembered: 512 of them are 2 MB at most
MAX_LENGTH_DIGITS = 15  # a petabyte; whatever announces more is left to h11

_END = re.compile(rb"\n\r?\n")
_COMMON = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\x20-\x7e]*)?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ \t]*(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?[ \t]*\r\n)*)"
    rb"\r\n"
)
_NO_BODY = (204, 304)
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers (names in lower case) of a reply."""

    status: int
    headers: Headers
    length: int | None  # bytes of body that Content-Length announces, 0 where a reply has none
    chunked: bool
    keep_alive: bool  # the connection can take another request once the body is read

    @property
    def until_close(self) -> bool:
        """The body ends where the connection does."""
        return self.length is None and not self.chunked

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name (lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


def head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Where the head ends (the first byte of the body), or -1 when it has not arrived whole."""
    match = _END.search(buffer, start)
    return match.end() if match else -1


def parse_head(raw: bytes, *, to_head: bool = False) -> Head | None:
    """Read a whole head, ``raw`` ending with its empty line. None: an interim reply (1xx), the final one follows.

    ``to_head``: it answers a HEAD request, so there is no body whatever the headers announce. Raises WireError.
    """
    if to_head or len(raw) > MAX_REMEMBERED:
        return _parse_exactly(raw, to_head=to_head)
    return _parse_remembered(raw)


def common_head(raw: bytes) -> tuple[int, int] | None:
    """Status and length of the body of a head of the common form, which keeps the connection; None for every other.

    It says the same as ``parse_head`` and is a shortcut for who needs no headers.
    """
    head = _parse_common(raw)
    return None if head is None else (head.status, head.length or 0)


@lru_cache(maxsize=512)
def _parse_remembered(raw: bytes) -> Head | None:
    return _parse_common(raw) or _parse_exactly(raw, to_head=False)


def _parse_common(raw: bytes) -> Head | None:
    match = _COMMON.fullmatch(raw)
    if match is None:
        return None
    status = int(match[1])
    if status in _NO_BODY:
        return None
    headers: list[tuple[bytes, bytes]] = []
    length: int | None = None
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip(b" \t")
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                return None
            length = int(value)
        elif name == b"transfer-encoding" or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    if length is None:
        return None
    return Head(status=status, headers=tuple(headers), length=length, chunked=False, keep_alive=True)


def _parse_exactly(raw: bytes, *, to_head: bool) -> Head | None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    connection.send(h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "-")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise WireError(f"expected the head of an HTTP/1.1 reply, read {raw[:80]!r}: {error}") from error
    if isinstance(event, h11.InformationalResponse):
        return None
    if not isinstance(event, h11.Response):
        raise WireError(f"expected the head of an HTTP/1.1 reply, read {raw[:80]!r}")
    headers: Headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
    return _framed(event, headers, to_head=to_head)


def _framed(event: h11.Response, headers: Headers, *, to_head: bool) -> Head:
    fields = dict(headers)  # h11 has refused contradicting lengths and folded equal ones
    options = b",".join(value for name, value in headers if name == b"connection").lower()
    tokens = {token.strip() for token in options.split(b",")}
    keep_alive = event.http_version == b"1.1" and b"close" not in tokens
    chunked = False
    length: int | None = None
    if to_head or event.status_code in _NO_BODY:
        length = 0
    elif b"transfer-encoding" in fields:
        chunked = True  # h11 refuses every other coding
    elif b"content-length" in fields:
        length = int(fields[b"content-length"])
    if length is None and not chunked:
        keep_alive = False
    return Head(status=event.status_code, headers=headers, length=length, chunked=chunked, keep_alive=keep_alive)
