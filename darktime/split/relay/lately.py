"""Names that were let go lately. Pure."""

from __future__ import annotations


class Lately:
    """The last ``most`` of them at least, at most twice as many.

    Two sets that take turns: a dict whose first entry is deleted each time looks through all that were deleted before it.
    """

    __slots__ = ("_before", "_most", "_now")

    def __init__(self, most: int) -> None:
        self._most = most
        self._now: set[str] = set()
        self._before: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._now or name in self._before

    def add(self, name: str) -> None:
        """One more."""
        self._now.add(name)
        if len(self._now) >= self._most:
            self._before, self._now = self._now, set()
