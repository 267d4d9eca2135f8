"""How long deliveries took, and how far apart a channel's subscribers got them, collected until they are taken. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.spread import Spreads

if TYPE_CHECKING:
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.marks import Mark


class Delays:
    """``latencies`` are from the planned time, in seconds; those of subscribers that read slowly are kept apart.

    ``readers``: a channel's open subscribers that read as fast as they can, by channel; who opens and ends them counts.
    """

    def __init__(self, channels: int) -> None:
        self.latencies: list[float] = []
        self.slow_latencies: list[float] = []
        self.spreads = Spreads()
        self.readers = [0] * channels

    def arrived(self, mark: Mark, now: float) -> None:
        """One subscriber got one event."""
        self.latencies.append(now - mark.at_s)
        of = self.readers[mark.channel]
        if of > 1:
            self.spreads.seen((mark.publisher, mark.channel, mark.number), now, now, times=1, of=of)

    def take_into(self, deliveries: Deliveries) -> None:
        """Count what was collected, and begin anew."""
        latencies, self.latencies = self.latencies, []
        slow, self.slow_latencies = self.slow_latencies, []
        spans, self.spreads.spans_s = self.spreads.spans_s, []
        deliveries.clock_skew += _clamp(latencies) + _clamp(slow)
        deliveries.latency.add_seconds(latencies)
        deliveries.slow_latency.add_seconds(slow)
        deliveries.spread.add_seconds(spans)


def _clamp(spans_s: list[float]) -> int:
    """Make negative spans 0; how many there were."""
    if not spans_s or min(spans_s) >= 0:
        return 0
    skewed = 0
    for at, span in enumerate(spans_s):
        if span < 0:
            spans_s[at] = 0.0
            skewed += 1
    return skewed
