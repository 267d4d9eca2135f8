"""One owner's account in memory: what it counted, and how much of that Redis is known to have. Pure.

Counts are kept by hop and window of event time. Every flush is numbered, and carries whatever changed since the last
one that is known to have arrived: any flush that arrives makes up for all that were lost before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

from realtime_core.errors import ConfigurationError
from realtime_core.ledger.net import FOLD_AT, Entries, Net

if TYPE_CHECKING:
    from collections.abc import Sequence

SENT: Final = "sent"
RECEIVED: Final = "received"
MAX_TIMES: Final = 1_000_000
# Windows in memory: settled ones beyond the first bound are let go, unwritten ones beyond the second lost and counted.
SETTLED_WINDOWS: Final = 256
UNWRITTEN_WINDOWS: Final = 4_096
_HOP: Final = re.compile(r"[!-~]{1,128}")
_REASON: Final = re.compile(r"[a-z0-9_]{1,64}")


class Window:
    """One hop's counts of one window. ``part`` tells it from an earlier life of the same window that was let go."""

    __slots__ = (
        "changed",
        "explained",
        "hop",
        "index",
        "net",
        "part",
        "received",
        "sent",
        "table_at",
        "table_changed",
        "written_at",
    )

    def __init__(self, hop: str, index: int, part: int) -> None:
        self.hop = hop
        self.index = index
        self.part = part
        self.net = Net()
        self.sent = 0
        self.received = 0
        self.explained: dict[str, int] = {}
        self.changed = False
        self.table_changed = False
        self.written_at = 0  # number of the last flush that carried the entries, and the table
        self.table_at = 0

    def total(self) -> int:
        """How often anything was counted here."""
        return self.sent + self.received + sum(self.explained.values())

    def fold(self) -> None:
        """Move the entries into the table."""
        self.net.fold()
        self.table_changed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One window as a flush writes it. ``table`` is None where Redis is known to have it already."""

    hop: str
    index: int
    part: int
    entries: bytes
    table: bytes | None


class Account:
    """Counts and what became of them. Not locked: the ledger does that."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.hops: set[str] = set()
        self.dropped = 0
        self.arrived = 0  # number of the last flush that is known to have arrived, with all before it
        self._number = 0
        self._part = 0
        self._windows: dict[tuple[str, int], Window] = {}
        self._unsettled: dict[tuple[str, int], Window] = {}  # changed since the flush that is known to have arrived

    def count(
        self,
        side: str,
        hop: str,
        keys: list[int],
        at: float | Sequence[float],
        times: int | Sequence[int],
    ) -> None:
        """Count keys as ``sent``, as ``received``, or by the reason why they left the hop. ``at`` in seconds, UTC."""
        if isinstance(times, int):
            if not 0 <= times <= MAX_TIMES:
                raise ConfigurationError(f"times={times}: from 0 to {MAX_TIMES}")
        else:
            if len(times) != len(keys):
                raise ConfigurationError(f"{len(keys)} ids and {len(times)} times: give one number, or one for each id")
            if times and not 0 <= min(times) <= max(times) <= MAX_TIMES:
                raise ConfigurationError(f"times from {min(times)} to {max(times)}: from 0 to {MAX_TIMES}")
        if isinstance(at, (int, float)):
            self._into(side, self._window(hop, self._index(at)), keys, times)
            return
        if len(at) != len(keys):
            raise ConfigurationError(f"{len(keys)} ids and {len(at)} event times: give one time, or one for each id")
        indexes = [self._index(moment) for moment in at]
        if indexes and indexes.count(indexes[0]) == len(indexes):
            self._into(side, self._window(hop, indexes[0]), keys, times)
            return
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indexes):
            places.setdefault(index, []).append(place)
        for index, chosen in places.items():
            some = times if isinstance(times, int) else [times[place] for place in chosen]
            self._into(side, self._window(hop, index), [keys[place] for place in chosen], some)

    def _index(self, at: float) -> int:
        if not isfinite(at):
            raise ConfigurationError(f"at={at}: the event's time in seconds, UTC, is needed")
        return int(at // self.window_s)

    def _window(self, hop: str, index: int) -> Window:
        window = self._windows.get((hop, index))
        if window is None:
            if hop not in self.hops and not _HOP.fullmatch(hop):
                raise ConfigurationError(f"hop {hop!r}: 1 to 128 printable ASCII characters without spaces")
            if len(self._windows) >= SETTLED_WINDOWS:
                self._make_room()
            self.hops.add(hop)
            window = self._windows[hop, index] = Window(hop, index, self._part)
        return window

    def _make_room(self) -> None:
        """Let the oldest settled windows go; if too many are unwritten, lose the oldest of those and count it."""
        settled = [place for place in self._windows if place not in self._unsettled]
        for place in settled[: len(self._windows) - SETTLED_WINDOWS + 1]:
            del self._windows[place]
        if len(self._windows) >= UNWRITTEN_WINDOWS:
            place = next(iter(self._windows))
            self.dropped += self._unsettled.pop(place).total()
            del self._windows[place]
        # A late count for a window that was let go must not overwrite what Redis has of it.
        self._part += 1

    def _into(self, side: str, window: Window, keys: list[int], times: int | Sequence[int]) -> None:
        total = times * len(keys) if isinstance(times, int) else sum(times)
        if not total:
            return
        net = window.net
        if side == SENT:
            window.sent += total
            net.times += [times] * len(keys) if isinstance(times, int) else times
        else:
            if side == RECEIVED:
                window.received += total
            else:
                if side not in window.explained and not _REASON.fullmatch(side):
                    raise ConfigurationError(f"reason {side!r}: 1 to 64 of a-z, 0-9 and _, from the hop's closed list")
                window.explained[side] = window.explained.get(side, 0) + total
            net.times += [-times] * len(keys) if isinstance(times, int) else [-one for one in times]
        net.keys += keys
        if len(net.keys) > 2 * FOLD_AT:
            window.fold()
        if not window.changed:
            window.changed = True
            self._unsettled[window.hop, window.index] = window

    @property
    def collected(self) -> int:
        """The number of the last flush that was made."""
        return self._number

    def table_in_doubt(self) -> bool:
        """Whether a table was written by a flush that is not known to have arrived."""
        return any(window.table_at > self.arrived for window in self._unsettled.values())

    def collect(self) -> tuple[int, list[Written]]:
        """The number of a new flush, and every window it has to carry."""
        self._number += 1
        carried = []
        for window in self._unsettled.values():
            net = window.net
            if len(net.keys) > FOLD_AT:
                window.fold()
            table = None
            if net.table is not None and (window.table_changed or window.table_at > self.arrived):
                table = net.table.to_bytes()
                window.table_at = self._number
                window.table_changed = False
            entries = Entries(
                sent=window.sent, received=window.received, explained=window.explained, keys=net.keys, times=net.times
            ).to_bytes()
            window.written_at = self._number
            window.changed = False
            carried.append(Written(hop=window.hop, index=window.index, part=window.part, entries=entries, table=table))
        return self._number, carried

    def settle(self, number: int) -> None:
        """Flush ``number`` is known to have arrived, and so has everything before it.

        A lower number than before means that Redis lost what it had: everything still in memory is written again.
        """
        if number < self.arrived:
            self.arrived = number
            self._unsettled = dict(self._windows)
            return
        self.arrived = number
        settled = [key for key, one in self._unsettled.items() if not one.changed and one.written_at <= number]
        for key in settled:
            del self._unsettled[key]

    def forget(self) -> None:
        """Let every settled window go, as after so long a silence that Redis has let them expire."""
        self._windows = dict(self._unsettled)
        self._part += 1

    def waiting(self) -> bool:
        """Whether anything was counted that is not known to have arrived."""
        return bool(self._unsettled)
