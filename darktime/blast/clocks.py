"""How far two machines' monotonic clocks are apart, by messages that went there and back. Pure.

A message leaves at ``sent_s`` and its answer is back at ``back_s``, by our clock; the other side looked at its own,
``there_s``, at some moment in between. So the offset lies within half of the way there and back, whatever the two
ways took; the fastest message says most. Quartz drifts: what a message says is worth less the older it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

KEPT = 64
# Two machines' clocks run apart by some 50 millionths at most each; one that is being set right does so by 500.
DRIFT = 200e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The head's clocks as a worker sees them.

    ``offset_s`` + a worker's own monotonic seconds are the head's, within ``error_s`` either way; ``wall_s`` + those
    are seconds UTC by the head's clock.
    """

    offset_s: float = 0.0
    error_s: float = 0.0
    wall_s: float = 0.0

    def monotonic(self, own_s: float) -> float:
        """The head's monotonic clock when this worker's showed that."""
        return own_s + self.offset_s

    def wall(self, own_s: float) -> float:
        """Seconds UTC by the head's clock."""
        return own_s + self.offset_s + self.wall_s

    def to_dict(self) -> dict[str, float]:
        """JSON-able, as it travels."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Clock:
        """What ``to_dict`` gave."""
        return cls(**saved)


class _Seen(NamedTuple):
    """``at_s``: when it was sent, the earliest that the other clock was looked at."""

    at_s: float
    offset_s: float
    half_s: float


class Offset:
    """What the messages to one worker said. ``add`` each; ``best`` at any time."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        """How many messages came back, of those that still count."""
        return len(self._seen)

    def add(self, sent_s: float, there_s: float, back_s: float) -> None:
        """A message was answered. Raises ValueError for one that was back before it was sent."""
        if back_s < sent_s:
            raise ValueError(f"sent at {sent_s}, back at {back_s}: it cannot have been back before")
        self._seen.append(_Seen(sent_s, (sent_s + back_s) / 2 - there_s, (back_s - sent_s) / 2))

    def best(self, now_s: float) -> tuple[float, float]:
        """(offset, error) in seconds: what to add to the other's clock to have ours, and how sure that is.

        Raises ValueError before the first answer.
        """
        if not self._seen:
            raise ValueError("no message has come back yet: there is nothing to tell the offset by")
        best = min(self._seen, key=lambda seen: seen.half_s + DRIFT * (now_s - seen.at_s))
        return best.offset_s, best.half_s + DRIFT * (now_s - best.at_s)


def between(errors_s: list[float]) -> float:
    """How far two workers' clocks may be apart at most, in seconds, from what each is known to the head's by."""
    return sum(sorted(errors_s)[-2:])
