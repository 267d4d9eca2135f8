"""Was the generator the limit? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.blast.counts import Counts
    from darktime.blast.deliveries import Deliveries

HEALTHY = "healthy"
# A loop that is busier than this has no reserve for what arrives at once: its lateness would be read as the instance's.
CPU_LIMIT = 0.85
# From here on it counts as evidence where a second sign says the same; below, a failure is clearly the instance's.
CPU_WARM = 0.6
# 10 ms is what a shared machine's scheduler may do to any process; beyond, a tenth of the objective is not ours to use.
LAG_FLOOR_MS = 10.0
LAG_SHARE_OF_SLO = 0.1
LOOP_LAG_LIMIT_MS = 100.0
# Less than this of the plan was sent although connections were free: another load than the one that was asked for.
ACHIEVED_LIMIT = 0.99
# Reads that found their buffer full. Large replies fill it too, so it is only evidence in a warm process.
BACKLOG_LIMIT = 0.25
# A canary that saw nothing slow is only a sign where chance would have shown it something in 19 of 20 cases.
CANARY_CHANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How well the generator kept its own plan during one probe.

    ``send_lag_p99_ms``: from planned to sent, of requests that found a free connection (waiting for one is the
    instance's doing). ``cpu_share``: of one core. ``achieved_share``: sent of what was planned. ``errors_of_ours``:
    sockets that this machine refused (files, ports, memory). ``waited``: the connections were all busy, so the rest
    could not be sent.
    """

    send_lag_p99_ms: float
    loop_lag_max_ms: float
    cpu_share: float
    achieved_share: float
    errors_of_ours: int = 0
    waited: bool = False
    backlog_share: float = 0.0  # of the reads, those that found more waiting than they could take
    canary_p99_ms: float | None = None  # of an independent prober's few requests, in the same span
    canary_requests: int = 0  # how many those were; 0: not known

    def worst(self, other: Health) -> Health:
        """Of two workers' figures the worse ones."""
        canaries = [one for one in (self.canary_p99_ms, other.canary_p99_ms) if one is not None]
        return Health(
            send_lag_p99_ms=max(self.send_lag_p99_ms, other.send_lag_p99_ms),
            loop_lag_max_ms=max(self.loop_lag_max_ms, other.loop_lag_max_ms),
            cpu_share=max(self.cpu_share, other.cpu_share),
            achieved_share=min(self.achieved_share, other.achieved_share),
            errors_of_ours=self.errors_of_ours + other.errors_of_ours,
            waited=self.waited or other.waited,
            backlog_share=max(self.backlog_share, other.backlog_share),
            canary_p99_ms=max(canaries, default=None),
            canary_requests=self.canary_requests + other.canary_requests,
        )


def backlog_share(counts: Counts, deliveries: Deliveries) -> float:
    """Of the reads of replies, and of those of streams, those that found more than they could take: the greater share.

    A reply is one read, unless it is large.
    """
    of_replies = min(counts.backlog_reads / max(counts.requests, 1), 1.0)
    return max(of_replies, deliveries.backlog_reads / max(deliveries.reads, 1))


def verdict(
    health: Health,
    *,
    slo_ms: float,
    passed: bool,
    good_ms: float | None = None,
    slow_share: float = 1.0,
    refused: bool = False,
) -> str:
    """``healthy``, or ``generator-bound: why``, by the rules of ADR 0019.

    ``slo_ms``: the strictest limit on a planned time; ``good_ms``: what the canary is held against (default the same).
    ``slow_share``: of the cohort's requests, those beyond ``good_ms``, which a canary of few may miss by chance.
    ``refused``: the instance itself answered with errors, so that a busy generator explains nothing.
    """
    if health.errors_of_ours:
        return f"generator-bound: this machine refused {health.errors_of_ours} sockets (open files, ports or memory)"
    if health.achieved_share < ACHIEVED_LIMIT and not health.waited:
        return f"generator-bound: it sent {health.achieved_share:.1%} of the plan, less than {ACHIEVED_LIMIT:.0%}"
    # Lateness is inside every latency: an instance that met the objective in spite of it has met it.
    if passed or refused:
        return HEALTHY
    lag_ms, lag_limit_ms = health.send_lag_p99_ms, max(LAG_FLOOR_MS, slo_ms * LAG_SHARE_OF_SLO)
    if lag_ms > lag_limit_ms:
        return f"generator-bound: sends were {lag_ms:.0f} ms late (p99), more than {lag_limit_ms:.0f} ms"
    fine = canary_fine(health, slo_ms if good_ms is None else good_ms, slow_share=slow_share)
    if fine is False:  # an idle process of its own saw the same: our being busy is not why
        return HEALTHY
    return _busy(health, fine=fine)


def _busy(health: Health, *, fine: bool | None) -> str:
    """Signs of a process that had too much to do; ``fine``: whether the canary was served well, if there was one."""
    if health.cpu_share > CPU_LIMIT:
        return f"generator-bound: it used {health.cpu_share:.0%} of its core, more than {CPU_LIMIT:.0%}"
    if health.loop_lag_max_ms > LOOP_LAG_LIMIT_MS:
        return f"generator-bound: its loop stood still for {health.loop_lag_max_ms:.0f} ms"
    if health.cpu_share > CPU_WARM and health.backlog_share > BACKLOG_LIMIT:
        return (
            f"generator-bound: {health.backlog_share:.0%} of its reads found more than they could take, "
            f"at {health.cpu_share:.0%} of its core"
        )
    if health.cpu_share > CPU_WARM and fine:
        return (
            f"generator-bound: a canary was answered in {health.canary_p99_ms:.0f} ms (p99) all the while, "
            f"and the generator used {health.cpu_share:.0%} of its core"
        )
    return HEALTHY


def canary_fine(health: Health, good_ms: float, *, slow_share: float = 1.0) -> bool | None:
    """Whether the independent prober was served within the limit; None without one, or if it may have been luck."""
    if health.canary_p99_ms is None:
        return None
    if health.canary_p99_ms >= good_ms:
        return False
    luck = health.canary_requests and (1 - slow_share) ** health.canary_requests > CANARY_CHANCE
    return None if luck else True


def is_clear(health: Health, *, good_ms: float, refused: bool) -> bool:
    """Whether a failure under a healthy generator is the instance's beyond doubt, whatever the generator's ceiling."""
    return refused or health.cpu_share <= CPU_WARM or canary_fine(health, good_ms) is False
