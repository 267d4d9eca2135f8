"""What a cohort counted: requests, failures by reason, bytes, and its three times (latency, service, send lag)."""

from __future__ import annotations

from dataclasses import dataclass, field

from darktime.blast.histogram import Histogram

# A closed list in practice (reasons are ours); the bound is for what is not foreseen.
MAX_REASONS = 50


@dataclass(slots=True)
class Counts:
    """Grows while requests end; ``take``n once a second by whoever feeds it on, and merged into the probe's."""

    requests: int = 0  # ended: answered or failed
    failures: int = 0
    bytes: int = 0  # received
    connect_errors: int = 0
    errors_of_ours: int = 0  # sockets that this machine refused
    waited: int = 0  # requests that found every connection busy
    reasons: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)  # from the planned time
    service: Histogram = field(default_factory=Histogram)  # from the sending
    send_lag: Histogram = field(default_factory=Histogram)  # from planned to sent, where a connection was free

    def fail(self, reason: str) -> None:
        """Count a request that failed."""
        self.requests += 1
        self.failures += 1
        if reason not in self.reasons and len(self.reasons) >= MAX_REASONS:
            reason = "other"
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def merge(self, other: Counts) -> None:
        """Add another's counts to these."""
        self.requests += other.requests
        self.failures += other.failures
        self.bytes += other.bytes
        self.connect_errors += other.connect_errors
        self.errors_of_ours += other.errors_of_ours
        self.waited += other.waited
        for reason, times in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + times
        self.latency.merge(other.latency)
        self.service.merge(other.service)
        self.send_lag.merge(other.send_lag)
