"""Whose turn it is: what is due of each user, one at a time, and the users who wait for a connection. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque


class Turns:
    """Items are (planned, number). A user has one in hand at most; what follows waits behind it, in order.

    ``waiting``: items that are due and not in anybody's hand.
    """

    __slots__ = ("_busy", "_lanes", "_queue", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self._lanes: dict[str, deque[tuple[float, int]]] = {}  # of users for whom something waits
        self._busy: set[str] = set()
        self._queue: OrderedDict[str, None] = OrderedDict()  # those of them who have nothing in hand, first come first

    def is_free(self, user: str) -> bool:
        """Whether nothing of this user's is in hand or waits: what is due now may go at once."""
        return user not in self._busy and user not in self._lanes

    def begin(self, user: str) -> None:
        """Something of this user's goes out."""
        self._busy.add(user)
        self._queue.pop(user, None)

    def end(self, user: str) -> None:
        """It has ended, however: the user stands behind those who wait for a connection, if more is due."""
        self._busy.discard(user)
        if user in self._lanes:
            self._queue[user] = None

    def wait(self, user: str, planned: float, number: int) -> None:
        """It is due, and cannot go yet."""
        self._lanes.setdefault(user, deque()).append((planned, number))
        self.waiting += 1
        if user not in self._busy:
            self._queue[user] = None

    def first(self) -> str | None:
        """The user who has waited longest for a connection."""
        return next(iter(self._queue), None)

    def take(self, user: str) -> tuple[float, int]:
        """The next item of a user for whom something waits; whoever sends it calls ``begin``."""
        lane = self._lanes[user]
        item = lane.popleft()
        self.waiting -= 1
        if not lane:
            del self._lanes[user]
            self._queue.pop(user, None)
        return item

    def overdue(self, before: float) -> list[tuple[float, int]]:
        """Take out the items that were planned before then: nobody will send them."""
        found = []
        for user, lane in list(self._lanes.items()):
            while lane and lane[0][0] < before:
                found.append(self.take(user))
        return found

    def clear(self) -> int:
        """Forget what waits; how many items that was."""
        dropped, self.waiting = self.waiting, 0
        self._lanes.clear()
        self._queue.clear()
        return dropped
