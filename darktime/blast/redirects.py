"""Follows a redirect as a browser does: the same fields, a GET without a body, and never to another host. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.wire.http1 import Reply

STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = 5


def next_request(request: bytes, reply: Reply, origins: Sequence[bytes]) -> bytes | None:
    """What to send where ``reply`` points; None where it points elsewhere, or its connection ends.

    ``origins``: how the instance is written in an absolute location, as ``http://host:port``.
    """
    location = next((value for name, value in reply.headers if name == b"location"), b"")
    here = next((one for one in origins if location.startswith((one + b"/", one + b"?")) or location == one), b"")
    path = location.removeprefix(here) or b"/"
    if not reply.keep_alive or not path.startswith(b"/"):
        return None
    _, _, rest = request.partition(b"\r\n")
    head = rest.partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-")]
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", *lines, b"", b""])
