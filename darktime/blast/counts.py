"""What a cohort counted of requests: ended, failed by reason, statuses, bytes, and its times."""

from __future__ import annotations

from dataclasses import dataclass, field

from darktime.blast.histogram import Histogram
from darktime.blast.sums import Sums, add


@dataclass(slots=True)
class Counts(Sums):
    """Grows while requests end; taken once a second by whoever feeds it on, and merged into the probe's."""

    requests: int = 0  # ended: answered or failed
    failures: int = 0
    bytes: int = 0  # received
    redirects: int = 0  # answered with 3xx and followed
    connects: int = 0  # connections that stood
    connect_errors: int = 0
    errors_of_ours: int = 0  # sockets that this machine refused
    waited: int = 0  # requests that found every connection busy
    backlog_reads: int = 0  # reads that filled the buffer: more lay waiting in the kernel
    sends_blocked: int = 0  # sends that the kernel took only in part
    reasons: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    turned_away: dict[str, int] = field(default_factory=dict)  # connections that ended, and never were served
    latency: Histogram = field(default_factory=Histogram)  # from the planned time
    service: Histogram = field(default_factory=Histogram)  # from the sending
    send_lag: Histogram = field(default_factory=Histogram)  # from planned to sent, where a connection was free
    connect: Histogram = field(default_factory=Histogram)  # from asking for a connection until it stood

    def fail(self, reason: str) -> None:
        """Count a request that failed."""
        self.requests += 1
        self.failures += 1
        add(self.reasons, reason)
