"""Follows a redirect as a browser does: the same fields, a GET without a body, and never to another host. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.wire.http1 import Reply

STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = 5
# What may stand in the target of a request (RFC 3986), the signs of percent-encoding too; the rest is encoded.
_AS_IT_IS = "/%:@!$&'()*+,;=-._~?"


def next_request(request: bytes, reply: Reply, origins: Sequence[bytes]) -> bytes | None:
    """What to send where ``reply`` points; None where it points elsewhere, or its connection ends.

    ``origins``: how the instance is written in an absolute location, as ``http://host:port``.
    """
    location = next((value for name, value in reply.headers if name == b"location"), b"")
    line, _, rest = request.partition(b"\r\n")
    path = _path(location, line.split(b" ")[1], origins)
    if not reply.keep_alive or path is None:
        return None
    head = rest.partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-")]
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", *lines, b"", b""])


def _path(location: bytes, asked: bytes, origins: Sequence[bytes]) -> bytes | None:
    """Path and query that a location means, relative to the path that was asked for; None where it means another host."""
    if not location:
        return None
    try:
        found = urlsplit(
            urljoin(f"{origins[0].decode('latin-1')}{asked.decode('latin-1')}", location.decode("latin-1"))
        )
    except ValueError:
        return None
    if f"{found.scheme}://{found.netloc}".lower() not in {one.decode("latin-1").lower() for one in origins}:
        return None
    target = f"{found.path or '/'}?{found.query}" if found.query else found.path or "/"
    return quote(target.encode("latin-1"), safe=_AS_IT_IS).encode("ascii")
