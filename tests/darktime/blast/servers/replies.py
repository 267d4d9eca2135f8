"""HTTP replies as bytes, made once and sent many times. Pure."""

from __future__ import annotations

from http import HTTPStatus


def reply(status: int, body: bytes = b"", *headers: str, version: str = "1.1", length: int | None = None) -> bytes:
    """A whole reply; ``length`` lies about the body's, a negative one leaves the header out."""
    said = len(body) if length is None else length
    lines = [f"HTTP/{version} {status} {HTTPStatus(status).phrase}", *headers]
    if said >= 0:
        lines.append(f"Content-Length: {said}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def chunked(piece: bytes, size: int) -> bytes:
    """Chunks of at most ``size`` bytes; 0: one chunk."""
    if not size:
        return chunk(piece)
    return b"".join(chunk(piece[at : at + size]) for at in range(0, len(piece), size))


OK = reply(200, b"ok", "Content-Type: text/plain")
BAD_REQUEST = reply(400, b"", "Connection: close")
NOT_FOUND = reply(404)
UNAVAILABLE = reply(503)
TOO_MANY = reply(429)
LAST_CHUNK = b"0\r\n\r\n"
EVENT_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
