"""One subscriber: its socket, its account, and where its stream stands. Small, since there are tens of thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.accounts import Account

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from darktime.blast.event_text import EventText

# FAST: open, and between two events; the next read needs no knowledge of the ones before.
CLOSED, CONNECTING, ASKED, OPEN, FAST = range(5)


class Link(Account):
    """``expected``, ``missing`` and ``lost`` are the account of this process's own publisher."""

    __slots__ = ("channel", "fd", "heard", "last_id", "others", "raw", "reader", "recv", "retry_s", "slow", "state")

    def __init__(self, channel: int, *, slow: bool) -> None:
        super().__init__()
        self.channel = channel
        self.slow = slow
        self.state = CLOSED
        self.raw: _socket.socket | None = None
        self.recv: Callable[[int], bytes] = _never
        self.fd = -1
        self.reader: EventText | None = None  # None where nothing of an event is kept
        self.last_id = b""
        self.retry_s: float | None = None
        self.heard = 0.0  # when something arrived last
        self.others: dict[int, Account] | None = None  # accounts of other publishers


class Resume:
    """A stream that ended and comes back: when, and which numbers only a replay can bring it."""

    __slots__ = ("cut_at", "first", "last")

    def __init__(self, cut_at: float, first: int) -> None:
        self.cut_at = cut_at
        self.first = first
        self.last = 0  # of what was published when it asked again


def _never(most: int) -> bytes:
    raise AssertionError(f"a read of {most} bytes from a subscriber that has no connection")
