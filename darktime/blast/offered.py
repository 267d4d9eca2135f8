"""What was counted while one plan was offered, before anything is judged; of one worker or, merged, of all. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.growth import Spans, Times
from darktime.blast.health import Health

if TYPE_CHECKING:
    from darktime.blast.cold_start import ColdStart
    from darktime.blast.histogram import Histogram


@dataclass(slots=True, kw_only=True)
class Second:
    """One second of one worker (or, merged, of all): what the live screen, the series and the heat map are made of.

    ``at_s``: whole seconds, UTC. Counts are of that second; ``streams``, ``in_flight`` and ``connections`` stand at
    its end.
    """

    at_s: int
    planned: int = 0
    counts: Counts = field(default_factory=Counts)
    deliveries: Deliveries = field(default_factory=Deliveries)
    streams: int = 0
    connections: int = 0
    in_flight: int = 0
    loop_lag_ms: float = 0.0
    cpu_share: float = 0.0

    def merge(self, other: Second) -> None:
        """Add another worker's same second: counts add up, of lag and load the worst stays."""
        self.planned += other.planned
        self.counts.merge(other.counts)
        self.deliveries.merge(other.deliveries)
        self.streams += other.streams
        self.connections += other.connections
        self.in_flight += other.in_flight
        self.loop_lag_ms = max(self.loop_lag_ms, other.loop_lag_ms)
        self.cpu_share = max(self.cpu_share, other.cpu_share)

    def follow(self, later: Second) -> None:
        """Add a later part of the same worker's same second: counts add up, what stands at its end is the later one's."""
        self.planned += later.planned
        self.counts.merge(later.counts)
        self.deliveries.merge(later.deliveries)
        self.streams, self.connections, self.in_flight = later.streams, later.connections, later.in_flight
        self.loop_lag_ms = max(self.loop_lag_ms, later.loop_lag_ms)
        self.cpu_share = max(self.cpu_share, later.cpu_share)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, as it travels from a worker."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {**plain, "counts": self.counts.to_dict(), "deliveries": self.deliveries.to_dict()}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        plain = {name: saved[name] for name in _PLAIN}
        return cls(
            **plain, counts=Counts.from_dict(saved["counts"]), deliveries=Deliveries.from_dict(saved["deliveries"])
        )


_PLAIN = ("at_s", "planned", "streams", "connections", "in_flight", "loop_lag_ms", "cpu_share")


@dataclass(slots=True, kw_only=True)
class Offered:
    """One plan, offered for a while. ``stage`` says why: hold, double, bisect, confirm, beyond, recover and so on.

    ``in_flight_mean``: requests under way, averaged over time by looking at them, not by Little's law.
    """

    rate_per_s: float | None  # None: closed model, the instance sets the rate
    duration_s: float
    planned: int
    unsent: int  # planned, and never sent because every connection was busy to the end
    health: Health
    stage: str = "hold"
    began_s: float = 0.0  # since the start of the run
    in_flight_mean: float | None = None
    streams_open: int = 0
    streams_never_served: int = 0  # that the instance has turned away whenever they came
    answered_in_time: int | None = None  # well, before the plan's time was over; None: not counted apart
    connections_served: int = 0  # that stood at its end, and had been answered
    workers: int = 1
    aborted: str = ""  # why it ended before its time
    spans: Spans | None = None  # when the replies (deliveries) came; None: it ended before the half of its time
    clock_error_ms: float = 0.0  # how far two workers' clocks may be apart, as they are corrected
    counts: Counts = field(default_factory=Counts)
    deliveries: Deliveries | None = None
    cold_start: ColdStart | None = None  # found by the head, in the seconds of all workers

    def latency(self) -> Histogram:
        """The times that are judged: all, or those after a cold start."""
        rest = self.cold_start.rest if self.cold_start is not None else None
        return self.whole_latency() if rest is None else rest

    def whole_latency(self) -> Histogram:
        """The times that the objective is about: of deliveries, or of replies, such as streams that end by themselves."""
        heard = self.deliveries
        return self.counts.latency if heard is None or heard.first_event.count else heard.latency

    def merge(self, other: Offered) -> None:
        """Add what another worker counted while it offered its part of the same plan."""
        if self.rate_per_s is not None and other.rate_per_s is not None:
            self.rate_per_s += other.rate_per_s
        self.duration_s = max(self.duration_s, other.duration_s)
        self.planned += other.planned
        self.unsent += other.unsent
        self.health = self.health.worst(other.health)
        if self.in_flight_mean is not None and other.in_flight_mean is not None:
            self.in_flight_mean += other.in_flight_mean
        self.streams_open += other.streams_open
        self.streams_never_served += other.streams_never_served
        if self.answered_in_time is not None and other.answered_in_time is not None:
            self.answered_in_time += other.answered_in_time
        self.connections_served += other.connections_served
        self.workers += other.workers
        self.aborted = self.aborted or other.aborted
        self.spans = self.spans + other.spans if self.spans is not None and other.spans is not None else None
        self.clock_error_ms = max(self.clock_error_ms, other.clock_error_ms)
        self.counts.merge(other.counts)
        if self.deliveries is not None and other.deliveries is not None:
            self.deliveries.merge(other.deliveries)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, as it travels from a worker."""
        plain = {name: getattr(self, name) for name in _OFFERED_PLAIN}
        return {
            **plain,
            "health": asdict(self.health),
            "spans": asdict(self.spans) if self.spans is not None else None,
            "counts": self.counts.to_dict(),
            "deliveries": self.deliveries.to_dict() if self.deliveries is not None else None,
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        plain = {name: saved[name] for name in _OFFERED_PLAIN}
        deliveries, spans = saved["deliveries"], saved["spans"]
        return cls(
            **plain,
            spans=Spans(**{name: Times(**times) for name, times in spans.items()}) if spans is not None else None,
            health=Health(**saved["health"]),
            counts=Counts.from_dict(saved["counts"]),
            deliveries=Deliveries.from_dict(deliveries) if deliveries is not None else None,
        )


_OFFERED_PLAIN = (
    *("rate_per_s", "duration_s", "planned", "unsent", "stage", "began_s", "in_flight_mean", "streams_open"),
    *("streams_never_served", "answered_in_time", "connections_served", "workers", "aborted", "clock_error_ms"),
)
