"""Was the generator the limit? A pure verdict, and apart from it the measuring of this process."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

HEALTHY = "healthy"
CPU_LIMIT = 0.9
LAG_FLOOR_MS = 10.0
LAG_SHARE_OF_SLO = 0.1
LOOP_LAG_LIMIT_MS = 100.0
ACHIEVED_LIMIT = 0.97


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
        )


def verdict(health: Health, *, slo_ms: float, passed: bool) -> str:
    """``healthy``, or ``generator-bound: why``. A probe that passed on time is valid however busy the process was."""
    lag_limit_ms = max(LAG_FLOOR_MS, slo_ms * LAG_SHARE_OF_SLO)
    if health.errors_of_ours:
        return f"generator-bound: this machine refused {health.errors_of_ours} sockets (open files, ports or memory)"
    if health.send_lag_p99_ms > lag_limit_ms:
        lag_ms = health.send_lag_p99_ms
        return f"generator-bound: sends were {lag_ms:.0f} ms late (p99), more than {lag_limit_ms:.0f} ms"
    if not passed and health.cpu_share > CPU_LIMIT:
        return f"generator-bound: it used {health.cpu_share:.0%} of its core, more than {CPU_LIMIT:.0%}"
    if not passed and health.loop_lag_max_ms > LOOP_LAG_LIMIT_MS:
        return f"generator-bound: its loop stood still for {health.loop_lag_max_ms:.0f} ms"
    if health.achieved_share < ACHIEVED_LIMIT and not health.waited:
        return f"generator-bound: it sent {health.achieved_share:.1%} of the plan, less than {ACHIEVED_LIMIT:.0%}"
    return HEALTHY


class Meter:
    """CPU and time of this process since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._cpu = _cpu_s()

    def cpu_share(self) -> float:
        """Share of one core that this process has used since."""
        return (_cpu_s() - self._cpu) / max(time.monotonic() - self._started, 1e-9)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
