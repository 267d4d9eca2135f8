"""What the parts of the server may ask of its loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from realtime_core.push.connection import Connection


class Loop(Protocol):
    """The loop, as its parts see it.

    Attributes:
        now: monotonic seconds at the last look at the sockets: one reading of the clock serves all that came of it.
    """

    now: float

    def look(self, timeout_s: float) -> None:
        """Take in what has arrived, without starting another pass."""

    def watch(self, connection: Connection) -> None:
        """What can be done with a connection may have changed."""

    def linger(self, connection: Connection) -> None:
        """All is said: close our side, and wait a little for the peer's."""

    def forget(self, connection: Connection) -> None:
        """Close a connection; the events that it had not been sent are explained to the ledger."""
