"""Keeps an instance's own figures over time, bounded in every direction, and chooses which are shown. Pure."""

from __future__ import annotations

from itertools import chain, pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from darktime.blast.metric_text import COUNTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.metric_text import Metric

MAX_NAMES = 512
MAX_POINTS = 600
# What every process has, whatever it does.
FIRST = ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
MOST_OTHERS = 12
_DIGITS = 6


class MetricSeries:
    """``add`` a reading in order; ``chosen`` gives what is shown.

    Beyond ``MAX_POINTS`` readings every second one is dropped, and from then on so many more stand for as much time.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._columns: dict[str, list[float | None]] = {}
        self._kinds: dict[str, str] = {}

    def add(self, at_s: float, metrics: Mapping[str, Metric]) -> None:
        """Take one reading; ``at_s`` in seconds, UTC."""
        for name in [*(one for one in FIRST if one in metrics), *metrics]:
            if name not in self._columns and len(self._columns) < MAX_NAMES:
                self._columns[name] = [None] * len(self._times)
                self._kinds[name] = metrics[name].kind
        self._times.append(at_s)
        for name, column in self._columns.items():
            column.append(metrics[name].value if name in metrics else None)
        if len(self._times) > MAX_POINTS:
            self._times = self._times[::2]
            self._columns = {name: column[::2] for name, column in self._columns.items()}

    def chosen(self) -> list[dict[str, Any]]:
        """What every process has, then of gauges and counters in turn those that changed most; a dozen at the most.

        ``points`` are pairs of a time (seconds, UTC) and a value, of a counter its rate per second.
        """
        first = [name for name in FIRST if self._known(name)]
        changed = sorted(
            ((self._change(name), name) for name in self._columns if name not in FIRST and self._change(name)),
            key=lambda one: (-one[0], one[1]),
        )
        gauges = [name for _, name in changed if self._kinds[name] != COUNTER]
        counters = [name for _, name in changed if self._kinds[name] == COUNTER]
        others = [name for name in chain.from_iterable(zip_longest(gauges, counters)) if name is not None]
        return [self._shown(name) for name in [*first, *others[:MOST_OTHERS]]]

    def _known(self, name: str) -> list[tuple[float, float]]:
        pairs = zip(self._times, self._columns.get(name, ()), strict=False)
        return [(at, value) for at, value in pairs if value is not None]

    def _change(self, name: str) -> float:
        """Of a gauge how far it went beside its size, of a counter how much was counted."""
        values = [value for _, value in self._known(name)]
        if not values:
            return 0.0
        low, high = min(values), max(values)
        if self._kinds[name] == COUNTER:
            return high - low
        return (high - low) / max(abs(high), abs(low), 1e-12)

    def _shown(self, name: str) -> dict[str, Any]:
        known = self._known(name)
        points = _rates(known) if self._kinds[name] == COUNTER else known
        return {
            "name": name,
            "kind": self._kinds[name],
            "first": known[0][1],
            "last": known[-1][1],
            "highest": max((value for _, value in points), default=None),
            "points": [[round(at, 3), round(value, _DIGITS)] for at, value in points],
        }


def _rates(known: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of a counter what it grew by a second, between each reading and the one before; of one that began anew, nothing."""
    pairs = pairwise(known)
    return [(at, (value - was) / (at - then)) for (then, was), (at, value) in pairs if value >= was and at > then]
