"""Replays errands at an instance, each at its time, once; whether that is allowed is checked before a connection is made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from darktime.blast.arrivals import ALL
from darktime.blast.cohort import Cohort
from darktime.blast.health import CPU_LIMIT
from darktime.blast.lanes import NOT_SENT, Lanes
from darktime.blast.modest import MODEST_CONNECTIONS, MODEST_DURATION_S, MODEST_RATE_PER_S, remedy
from darktime.blast.offer import Offering
from darktime.blast.plan import Plan
from darktime.blast.settings import check, is_named, max_rate, reserve_open_files
from darktime.blast.tally import Tally
from darktime.blast.traffic import Traffic
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darktime.blast.health import Health
    from darktime.blast.lanes import Errand, Outcome
    from darktime.blast.offered import Offered
    from darktime.blast.settings import Address, BlastSettings
    from darktime.blast.slo import Slo

# Beyond, what an instance was sent is no longer what was recorded.
LATE_MS: Final = 50.0
# A sender that is late may make these itself.
_OF_TIME: Final = frozenset({"timeout", "connect_timeout", "tls_timeout", "unfinished", NOT_SENT})
_END_S: Final = 0.01
_DRAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of each errand, in their order, and what was counted of all. ``sent_at``: seconds after the first.

    ``behind_p99_ms``: from planned to sent, of all that were. ``starved_share``: of the time, the sender's wait for a
    processor.
    """

    outcomes: list[Outcome | None]
    sent_at: list[float | None]
    offered: Offered
    behind_p99_ms: float
    starved_share: float


def admit(settings: BlastSettings, plan: Plan, *, speed: float) -> tuple[Address, int]:
    """Where it goes, and over how many connections. Raises UsageError as ``check``, and for a plan beyond its limits."""
    address, peak = check(settings), plan.peak_rate_per_s()
    if not is_named(settings, address):
        if peak > MODEST_RATE_PER_S or plan.duration_s > MODEST_DURATION_S + _END_S:
            raise UsageError(
                f"at --speed {speed:g} it is {peak:g} requests in the fastest second, {plan.duration_s:.1f} s long: at most "
                f"{MODEST_RATE_PER_S:g} a second for {MODEST_DURATION_S:g} s at a host that is not named as yours; change "
                f"--speed or --limit. {remedy(address.host)}"
            )
        return address, min(settings.connections, MODEST_CONNECTIONS)
    if peak > max_rate(settings):
        raise UsageError(
            f"at --speed {speed:g} the fastest second has {peak:g} requests, and the limit is {max_rate(settings):g}/s: "
            "lower --speed, or raise --max-rate"
        )
    return address, settings.connections


def plan_of(times_s: Sequence[float], *, timeout_s: float) -> Plan:
    """The plan of errands that are due so many seconds after the first; they must not fall."""
    return Plan(stage="replay", duration_s=times_s[-1] + _END_S, times_s=tuple(times_s), drain_s=timeout_s + _DRAIN_S)


def replay(
    plan: Plan,
    errands: Sequence[Errand],
    address: Address,
    *,
    connections: int,
    sources: Sequence[str] = (),
    timeout_s: float,
    failed: Callable[[int, Outcome], bool],
    stop: Callable[[], bool],
) -> Replayed:
    """Send every errand when it is due, over connections from ``sources`` in turn.

    ``failed`` says of an outcome whether it is one; too many end it (``aborted``).

    Raises UsageError for an instance that takes no connection.
    """
    size = min(connections, len({errand.user for errand in errands}))
    reserve_open_files(size)
    cohort = Cohort()
    lanes = Lanes(cohort, address, errands, size=size, sources=sources, timeout_s=timeout_s, failed=failed)
    traffic = Traffic(lanes, method="REPLAY", name="recorded requests", size=size)
    try:
        traffic.open(cohort, address.authority, stop)
        tally = Tally(cohort, traffic, [])
        cohort.each_second.append(tally.flush)
        began, in_line_s = time.monotonic(), _in_line_s()
        offered = Offering(cohort, traffic, tally, ALL, stop).offer(plan)
        starved_share = (_in_line_s() - in_line_s) / max(time.monotonic() - began, 1e-9)
        first = min((at for at in lanes.sent_at if at), default=0.0)
        sent_at = [at - first if at else None for at in lanes.sent_at]
        ended = zip(lanes.outcomes, lanes.sent_at, strict=True)
        behind = sorted(one.latency_s - one.service_s for one, at in ended if one is not None and at)
        return Replayed(
            outcomes=list(lanes.outcomes),
            sent_at=sent_at,
            offered=offered,
            behind_p99_ms=behind[len(behind) * 99 // 100] * 1000 if behind else 0.0,
            starved_share=starved_share,
        )
    finally:
        traffic.close()
        cohort.close()


def lateness(health: Health, *, behind_p99_ms: float, starved_share: float) -> str | None:
    """Why the sender itself was late, so that nothing is known of the instance; None when it was not. Pure.

    ``behind_p99_ms``: from planned to sent, also of what waited for a user or a connection: where the sender had no time
    to read answers, it is the sender that held them up.
    """
    if health.errors_of_ours:
        return f"this machine refused {health.errors_of_ours} sockets (open files, ports or memory)"
    late_ms = max(health.send_lag_p99_ms, behind_p99_ms)
    if late_ms <= LATE_MS:
        return None
    late = f"sends were {late_ms:.0f} ms late (p99), more than {LATE_MS:g} ms"
    if health.cpu_share + starved_share <= CPU_LIMIT:
        return None
    used, wanted = f"{health.cpu_share:.0%} of its core", f"stood in line for one {starved_share:.0%} of the time"
    return f"{late}, and the sender used {used} and {wanted}"


def is_clear(offered: Offered, slo: Slo) -> bool:
    """Whether more errors came than the objective allows that no lateness explains: other statuses, closed connections."""
    counts, errors = offered.counts, slo.of("errors")
    unsure = sum(times for reason, times in counts.reasons.items() if reason in _OF_TIME)
    allowed = errors.allowed_share if errors is not None else 0.0
    return counts.failures - unsure > allowed * max(counts.requests, 1)


def _in_line_s() -> float:
    """Seconds that this process's main thread was ready to run and had no processor; 0 where the kernel does not say.

    The second figure of schedstat (Documentation/scheduler/sched-stats.rst), in nanoseconds.
    """
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
