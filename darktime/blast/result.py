"""What a run found, probe by probe, and as a whole; JSON-able under schema_version 1. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from darktime.blast.health import HEALTHY, verdict

if TYPE_CHECKING:
    from darktime.blast.histogram import Histogram
    from darktime.blast.offered import Offered
    from darktime.blast.slo import Slo

# Of the planned requests, so many must have been answered within the probe: else a queue is growing somewhere.
GOODPUT_LIMIT = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One rate, offered for a while. Latency is the reply's, at a push endpoint the delivery's.

    Both from the planned time.
    """

    rate_per_s: float
    achieved_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    errors: int
    requests: int
    deliveries_per_s: float | None
    lost: int
    passed: bool
    why: str
    health: str
    unsent: int  # planned, and never sent because every connection was busy to the end
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastResult:
    """The whole run. ``exit_code``: 0, 3 (a threshold failed), 4 (generator-bound), 130 (interrupted)."""

    schema_version: int = 1
    kind: str = "blast"
    instance: str
    endpoint: str
    model: str
    started: str
    duration_s: float
    slo: str
    probes: tuple[Probe, ...]
    capacity: dict[str, float | None]
    limit: str
    sentence: str
    totals: dict[str, int]
    latency: dict[str, float | None]
    health: dict[str, Any]
    locust: dict[str, int]
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """As it is saved."""
        return asdict(self)


def judge(offered: Offered, slo: Slo) -> Probe:
    """Whether the objective was met, and why not. A generator that was late is never a pass."""
    counts, deliveries = offered.counts, offered.deliveries
    latency = offered.latency()
    answered = counts.requests - counts.failures
    lost = deliveries.lost if deliveries else 0
    why = _miss(offered, slo, latency, answered, lost)
    health = verdict(offered.health, slo_ms=slo.limit_ms, passed=not why)
    if health != HEALTHY:
        why = health
    achieved_per_s = answered / offered.duration_s
    return Probe(
        rate_per_s=round(achieved_per_s if offered.rate_per_s is None else offered.rate_per_s, 3),
        achieved_per_s=round(achieved_per_s, 3),
        p50_ms=latency.percentile_ms(50),
        p90_ms=latency.percentile_ms(90),
        p99_ms=latency.percentile_ms(99),
        max_ms=latency.percentile_ms(100),
        errors=counts.failures,
        requests=counts.requests,
        deliveries_per_s=round(deliveries.delivered / offered.duration_s, 3) if deliveries else None,
        lost=lost,
        passed=not why,
        why=why or "held",
        health=health,
        unsent=offered.unsent,
        reasons=dict(counts.reasons),
    )


def _miss(offered: Offered, slo: Slo, latency: Histogram, answered: int, lost: int) -> str:
    counts, deliveries = offered.counts, offered.deliveries
    if not latency.count:
        return "nothing was answered"
    share = 100 * counts.failures / max(counts.requests, 1)
    if counts.failures and share >= slo.errors_percent:
        most = max(counts.reasons, key=lambda reason: counts.reasons[reason])
        return f"{share:.2g} % errors, most of them {most}"
    if deliveries is not None and lost and 100 * lost / (deliveries.delivered + lost) >= slo.errors_percent:
        return f"{lost} deliveries lost"
    measured_ms = latency.percentile_ms(slo.percent)
    assert measured_ms is not None
    if measured_ms >= slo.limit_ms:
        return f"p{slo.percent:g} {measured_ms:.0f} ms"
    if offered.rate_per_s is not None and answered < GOODPUT_LIMIT * offered.planned:
        return f"{answered / max(offered.planned, 1):.0%} of the plan answered: a queue grows"
    return ""
