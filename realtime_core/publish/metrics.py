"""The names of the publisher's metrics; no other module spells one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class PublishMetrics:
    """What boxes did with events, one count an attempt. Without a registry of the caller's nothing is exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.published = Counter(
            "realtime_publish", "Events by what became of them at a box.", ["box", "outcome"], registry=registry
        )
        self.waiting = Gauge(
            "realtime_publish_waiting_events",
            "Events in the line before a best-effort box.",
            ["box"],
            registry=registry,
        )
        self.breaker_open = Gauge(
            "realtime_publish_breaker_open", "1 while a box is left alone.", ["box"], registry=registry
        )

    def value(self, box: str, outcome: str) -> int:
        """How many events of a box had this outcome: ``accepted`` or a reason."""
        return int(self.published.labels(box, outcome)._value.get())  # noqa: SLF001 - the client has no reader
