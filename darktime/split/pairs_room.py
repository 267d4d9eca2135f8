"""The room that the file of pairs has left: how long it lasts, and when a run must end so that no pair is missing. Pure.

A full file would leave out whatever came last, and a run of which a part was left out is no GO. So a run ends before that,
and all of it is judged. Of several relays each has its part of the room: the first that is full ends the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.compare import Pair

# What may still come: a verdict for a plan takes the watcher seconds, the state is one old, the last copies are settled for three.
_RESERVE_S: Final = 30.0
_RESERVE_SHARE: Final = 0.02
_MEASURED_S: Final = 10.0  # a rate is taken over so long
_SOONER: Final = 2.0  # a forecast is said again when it has become so many times shorter
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsRoom:
    """Bytes: what the fullest relay has ``written`` of its ``limit``; ``all_written``, ``all_limit``: all relays together."""

    written: int
    limit: int
    all_written: int
    all_limit: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """From the relay's state, or that of several; None where it does not say."""
        whole = state.get("pairs_file")
        if not whole:
            return None
        each = [one["pairs_file"] for one in state.get("relays", ()) if one.get("pairs_file")] or [whole]
        fullest = max(each, key=lambda one: one["written"] / one["limit"])
        return cls(
            written=fullest["written"], limit=fullest["limit"], all_written=whole["written"], all_limit=whole["limit"]
        )

    def lasts_s(self, bytes_per_s: float) -> float | None:
        """So long at so many bytes a second of all relays together, of which the fullest has its part; None: for ever."""
        rate = bytes_per_s * self.written / self.all_written if self.all_written else 0.0
        return max(0, self.limit - self.written) / rate if rate > 0 else None

    def lasts_by(self, pairs: Sequence[Pair], newest: int) -> float | None:
        """So long at the rate of the newest so many pairs; None where they do not tell one."""
        seen = [pair.at for pair in pairs[-newest:]]
        span_s = max(seen) - min(seen) if seen else 0.0
        return self.lasts_s(len(seen) / span_s * self.all_written / len(pairs)) if span_s > 0 else None


class PairsWatch:
    """``look`` now and then, with a monotonic time. ``said``: what is to be told, once each; ``over``: why the run must end."""

    def __init__(self, ends_at: float) -> None:
        self.over = ""
        self._ends_at = ends_at
        self._seen: list[tuple[float, int]] = []  # when, and bytes of the fullest
        self._fastest = 0.0
        self._forecast: float | None = None  # when it is full, as was said last

    def look(self, room: PairsRoom | None, now: float) -> str:
        """What is new and worth a line, or empty."""
        if room is None:
            return ""
        self._seen.append((now, room.written))
        while len(self._seen) > 1 and now - self._seen[1][0] >= _MEASURED_S:
            del self._seen[0]
        since, before = self._seen[0]
        span_s = now - since
        rate = (room.written - before) / span_s if span_s > 0 else 0.0
        left = room.limit - room.written
        if span_s >= _MEASURED_S:
            self._fastest = max(self._fastest, rate)
        if room.written and left < max(_RESERVE_SHARE * room.limit, _RESERVE_S * max(self._fastest, rate)):
            self.over = (
                f"the file of pairs is full ({room.all_written / MB:,.0f} of {room.all_limit / MB:,.0f} MB): the run ends here, "
                "and all of it is judged; a longer one takes a larger --pairs-mb"
            )
            return ""
        return self._told(room, now, left / rate) if span_s >= _MEASURED_S and rate > 0 else ""

    def _told(self, room: PairsRoom, now: float, lasts_s: float) -> str:
        if self._forecast is not None and lasts_s * _SOONER > self._forecast - now:
            return ""
        first, self._forecast = self._forecast is None, now + lasts_s
        if not first and now + lasts_s >= self._ends_at:
            return ""
        sooner = "; then the run ends, before its time" if now + lasts_s < self._ends_at else ""
        return (
            f"the file of pairs ({room.all_limit / MB:,.0f} MB, --pairs-mb) lasts {_long(lasts_s)} at this rate{sooner}"
        )


def _long(seconds: float) -> str:
    """In words that are no more exact than a forecast."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"about {min(seconds / size, 999):.0f} {unit}"
    return f"about {seconds:.0f} seconds"
