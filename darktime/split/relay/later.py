"""What need not be read the moment it comes: log lines, and replies that the kernel has stamped with when they came.

Nobody waits for the relay to read them, and each time that it wakes costs as much as reading. So where there is much of it,
it is looked at every few milliseconds; where there is little, at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from darktime.wire.poller import IN, Poller

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_S: Final = 0.01
SHORTEST_S: Final = 0.001
_TOGETHER: Final = 32  # are read at a time: few enough for the connections that replies hold meanwhile
_MANY: Final = 10  # between two calls of ``weigh``, which come every twentieth of a second


class Later:
    """A poller within the relay's. ``fd``: ready there when something is to be looked at; masked while it is paced."""

    def __init__(self, prompt: Poller) -> None:
        self.poller = Poller(cooperative=False, coarse=True)
        self.fd = self.poller.fd
        self._prompt = prompt
        self._hurried = False
        self._pace_s = 0.0  # 0: at once
        self._found = 0
        self._looked = self._weighed = 0.0
        prompt.register(self.fd, IN)

    def wait_s(self, most_s: float) -> float:
        """How long the relay may sleep."""
        return min(self._pace_s or most_s, most_s)

    def due(self, now: float) -> bool:
        """Whether it is time to look, though nobody has said so."""
        return self._pace_s > 0 and now - self._looked >= self._pace_s

    def look(self, now: float) -> Iterable[tuple[int, int]]:
        """What is ready."""
        self._looked = now
        ready = self.poller.poll(0)
        self._found += len(ready)
        return ready

    def hurry(self) -> None:
        """Somebody waits for a connection that what lies here may set free: for now look at once."""
        self._hurried = True
        self._pace(0.0)

    def weigh(self, now: float) -> None:
        """Decide how to go on, by what has come since."""
        if self._found < _MANY or self._hurried:
            self._pace(0.0)
        else:
            together_s = _TOGETHER * (now - self._weighed) / self._found
            self._pace(min(max(together_s, SHORTEST_S), LONGEST_S))
        self._found = 0
        self._weighed = now
        self._hurried = False

    def close(self) -> None:
        """Look no more."""
        self._prompt.unregister(self.fd)
        self.poller.close()

    def _pace(self, pace_s: float) -> None:
        if (pace_s > 0) != (self._pace_s > 0):
            self._prompt.modify(self.fd, 0 if pace_s else IN)
        self._pace_s = pace_s
