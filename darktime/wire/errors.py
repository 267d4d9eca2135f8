"""What the wire readers raise: a peer said something that is not HTTP/1.1 or EventSource, or too much of it."""

from __future__ import annotations

from darktime.errors import DarktimeError


class WireError(DarktimeError):
    """Names what was read and what was expected. The connection it came from is of no further use."""
