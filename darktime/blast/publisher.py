"""Makes the publish requests of all channels in turn, and remembers what each channel owes its subscribers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.marks import MAX_CHANNELS, MAX_PUBLISHERS, body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.blast.settings import Address

CHANNEL_PREFIX = "blast."
PUBLISH_PATH = "/pub?id={channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one publisher owes its subscribers: the last number of each channel, and those that nobody is owed."""

    last: list[int]
    refused: list[list[int]]


class Publisher:
    """``channels`` channels, called blast.0, blast.1 ... unless ``names`` says how.

    ``path`` is where to publish, with ``{channel}`` in it. ``me`` tells the publishers of several processes apart.
    ``clock`` is what planned times are told in: they are planned in monotonic seconds, which machines do not share.
    ``event_ids``: each event gets an id, so that the instance can replay it to who reconnects; instances that keep a
    ledger then count it too. Raises ValueError for names or numbers that do not fit.
    """

    def __init__(
        self,
        address: Address,
        channels: int,
        run: str,
        *,
        names: Sequence[str] = (),
        path: str = PUBLISH_PATH,
        me: int = 0,
        clock: Callable[[], float] = time.monotonic,
        event_ids: bool = False,
    ) -> None:
        if names and len(names) != channels:
            raise ValueError(f"{len(names)} names for {channels} channels: give one each")
        if not 1 <= channels <= MAX_CHANNELS:
            raise ValueError(f"{channels} channels: 1 to {MAX_CHANNELS:,}")
        if not 0 <= me < MAX_PUBLISHERS:
            raise ValueError(f"publisher {me}: 0 to {MAX_PUBLISHERS - 1}")
        self.published = [0] * channels  # the last number of each channel
        self.fixed: bytes | None = None  # every one is different
        self.settled = [0] * channels  # up to this number the account is closed
        self.refused: list[set[int]] = [set() for _ in range(channels)]  # numbers the instance did not take, since then
        self.names = tuple(names) or tuple(f"{CHANNEL_PREFIX}{channel}" for channel in range(channels))
        self._me = me
        self._run = run.encode("ascii")
        self._clock = None if clock is time.monotonic else clock
        self._event_ids = event_ids
        self._turn = 0
        length = len(body(self._run, 0, 0, 0, 0))
        self._heads = [
            (
                f"POST {path.format(channel=name)} HTTP/1.1\r\nHost: {address.authority}\r\nX-Darktime: 1\r\n"
                f"User-Agent: darkesttime\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
            ).encode("ascii")
            for name in self.names
        ]

    def next(self, planned_s: float) -> tuple[bytes, int]:
        """The next publish; its number is channel + channels * number in the channel."""
        channel = self._turn
        self._turn = (channel + 1) % len(self._heads)
        number = self.published[channel] = self.published[channel] + 1
        if self._clock is not None:
            planned_s += self._clock() - time.monotonic()
        head = self._heads[channel]
        if self._event_ids:
            head += b"Event-Id: %s-%d-%d\r\n" % (self._run, self._me, number)
        payload = body(self._run, channel, self._me, int(planned_s * 1e6), number)
        return head + b"\r\n" + payload, channel + len(self._heads) * number

    def ended(self, number: int, *, ok: bool) -> None:
        """Remember what the instance did not take: nobody is owed it."""
        if not ok:
            number, channel = divmod(number, len(self._heads))
            self.refused[channel].add(number)

    def account(self) -> Published:
        """As it stands, for other processes that hear the same channels."""
        return Published(last=list(self.published), refused=[sorted(numbers) for numbers in self.refused])

    def settle(self) -> None:
        """Close the account: whoever has not got what was published until now has lost it."""
        for channel, number in enumerate(self.published):
            self.settled[channel] = number
            self.refused[channel].clear()
