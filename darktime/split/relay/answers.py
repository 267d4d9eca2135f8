"""What is known of copies where production's side is not: answered by status and time, or gone for a reason. Pure.

Takes the place of ``Records`` in a relay that stands alone: no log line tells how production answered, so nothing is
compared, and a stream ends when its time is over.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from darktime.split.relay import reasons

if TYPE_CHECKING:
    from darktime.split.compare import Side
    from darktime.split.log_format import LogLine
    from darktime.split.relay.copies import Copy

NOTHING_COMPARED: Final = (
    "nothing is compared: a relay that stands alone does not know how production answered; only its own nginx "
    "(darktime split) tells it"
)
_STEP: Final = math.log(1.05)  # a bucket is 5 % wide
_LEAST_S: Final = 0.0001
_PERCENTS: Final = (1, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.999)
_MOST: Final = 400  # buckets: to 8 hours


class Latencies:
    """Times in buckets 5 % wide, from 0.1 ms, or ``least_s``; bounded. Read from another thread as well."""

    def __init__(self, least_s: float = _LEAST_S) -> None:
        self._least_s = least_s
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """One time."""
        steps = math.ceil(math.log(max(seconds, self._least_s) / self._least_s) / _STEP)
        self._counts[min(_MOST, max(0, steps))] += 1

    def percentile_ms(self, percent: float) -> float | None:
        """At least so many percent took no longer, at most 5 % too high; None where there are none."""
        counts = dict(self._counts)
        wanted, seen = math.ceil(sum(counts.values()) * percent / 100), 0
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= wanted:
                return round(self._least_s * math.exp(bucket * _STEP) * 1000, 3)
        return None

    def spectrum(self) -> list[list[float]]:
        """Pairs of a percentile and a time in ms, as far as so many times can tell one."""
        count = self._counts.total()
        told = [one for one in _PERCENTS if round(count * (100 - one), 6) >= 100 or one == 50]  # noqa: PLR2004
        found = [(one, self.percentile_ms(one)) for one in told]
        return [[one, figure] for one, figure in found if figure is not None]


class Answers:
    """Every copy that has arrived: on its way, answered, or gone for a reason; each once."""

    def __init__(self, *, stream_life_s: float, limit: int) -> None:
        self._stream_life_s = stream_life_s
        self._limit = limit
        self._open: dict[str, None] = {}
        self._streams: dict[str, float] = {}  # since when, by the caller's clock
        self._now = 0.0
        self.offered = self.received = self.compared = self.differing = self.late_lines = self.duplicates = 0
        self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.mirror_reasons: Counter[str] = Counter()
        self.latencies = Latencies()

    def __len__(self) -> int:
        return len(self._open)

    def arrived(self, copy: Copy, _user: str, now: float) -> bool:
        """A copy has come; False: there is no room, and it must go no further."""
        self._now = now
        self.received += 1
        if len(self._open) >= self._limit:
            self.reasons[reasons.RELAY_FULL] += 1
            return False
        self._open[copy.id] = None
        return True

    def line(self, _line: LogLine, _now: float) -> None:
        """There are no lines."""

    def gap(self, _lost: int, _at: float) -> None:
        """So none is lost."""

    def lines_read(self, _now: float) -> None:
        """Nor read."""

    def wanted(self, request_id: str) -> bool:
        """Whether an answer is still of use."""
        return request_id in self._open

    def ended(self, request_id: str) -> bool:
        """Nobody tells whether production has ended: a stream goes on for its time, nothing else is held up by it."""
        return request_id not in self._streams

    def goes_as(self, copy: Copy) -> None:
        """Nothing is compared, so what it goes out as makes no difference."""

    def streaming(self, request_id: str) -> None:
        """The copy became a stream."""
        self._streams[request_id] = self._now

    def lasting(self, request_id: str) -> None:
        """Never asked: see ``ended``."""

    def replied(self, request_id: str, dark: Side, now: float) -> None:
        """The dark instance has answered; of a stream, its head is there."""
        if request_id not in self._open:
            return
        del self._open[request_id]
        if request_id in self._streams:
            self._streams[request_id] = now
        self.answered += 1
        self.statuses[dark.status] += 1
        self.latencies.add(dark.seconds)

    def failed(self, request_id: str, reason: str) -> None:
        """The copy goes no further, for a reason."""
        if request_id in self._open:
            del self._open[request_id]
            self._streams.pop(request_id, None)
            self.reasons[reasons.listed(reason)] += 1

    def sweep(self, now: float) -> list[str]:
        """The streams whose time is over."""
        self._now = now
        over = [request_id for request_id, since in self._streams.items() if now - since > self._stream_life_s]
        for request_id in over:
            del self._streams[request_id]
        return over

    def close(self) -> None:
        """The relay stops: what is not through is in flight."""
        for request_id in list(self._open):
            self.failed(request_id, reasons.IN_FLIGHT)

    def told(self) -> dict[str, Any]:
        """For the state: received = answered + reasons + what is still on its way."""
        return {
            "answered": self.answered,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "latency": {f"p{percent}_ms": self.latencies.percentile_ms(percent) for percent in (50, 95, 99)},
            "spectrum": self.latencies.spectrum(),
            "note": NOTHING_COMPARED,
        }
