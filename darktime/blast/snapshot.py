"""What the live screen shows, second by second: the newest figures, and the last minute of rates and p99s. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from darktime.blast.health import backlog_share
from darktime.blast.record import latency_of

if TYPE_CHECKING:
    from darktime.blast.offered import Second
    from darktime.blast.plan import Plan
    from darktime.blast.result import Probe
    from darktime.blast.settings import BlastSettings

HISTORY_S = 60


class Snapshots:
    """``of`` each second, in order; ``begin`` each plan, ``note`` each probe."""

    def __init__(self, settings: BlastSettings) -> None:
        self._settings = settings
        self._first: int | None = None
        self._stage = "opening"
        self._requests = self._failures = self._deliveries = self._lost = self._errors_of_ours = 0
        self._reasons: dict[str, int] = {}
        self._rates: deque[float] = deque(maxlen=HISTORY_S)
        self._p99s: deque[float | None] = deque(maxlen=HISTORY_S)

    def begin(self, plan: Plan) -> None:
        """A plan is offered from now on: it is what the run is in."""
        rate_per_s = plan.mean_rate_per_s()
        self._stage = f"{plan.stage}: {'closed' if rate_per_s is None else f'{rate_per_s:,.0f}/s'}"

    def note(self, probe: Probe) -> None:
        """Its probe was judged: that stands until the next one begins."""
        self._stage = f"{probe.stage}: {probe.rate_per_s:,.0f}/s {probe.outcome}"

    def of(self, second: Second) -> dict[str, Any]:
        """The snapshot after a second."""
        if self._first is None:
            self._first = second.at_s
        counts, deliveries = second.counts, second.deliveries
        self._requests += counts.requests
        self._failures += counts.failures
        self._deliveries += deliveries.delivered
        self._lost += deliveries.lost
        self._errors_of_ours += counts.errors_of_ours + deliveries.errors_of_ours
        for reason, times in counts.reasons.items():
            self._reasons[reason] = self._reasons.get(reason, 0) + times
        latency = latency_of(second)
        self._rates.append(counts.requests)
        self._p99s.append(latency.percentile_ms(99))
        listens = bool(second.streams or self._deliveries)
        return {
            "title": f"{self._settings.scenario or 'blast'} {self._settings.instance}",
            "stage": self._stage,
            "elapsed_s": second.at_s - self._first,
            "budget_s": self._settings.duration_s,
            "planned_per_s": second.planned,
            "achieved_per_s": counts.requests,
            "p50_ms": latency.percentile_ms(50),
            "p99_ms": latency.percentile_ms(99),
            "requests": self._requests,
            "failures": self._failures,
            "reason": max(self._reasons, key=lambda name: self._reasons[name]) if self._reasons else None,
            "streams": second.streams if listens else None,
            "deliveries_per_s": deliveries.delivered if listens else None,
            "deliveries": self._deliveries if listens else None,
            "lost": self._lost if listens else None,
            "in_flight": second.in_flight,
            "send_lag_p99_ms": counts.send_lag.percentile_ms(99),
            "cpu_share": second.cpu_share,
            "backlog_share": backlog_share(counts, deliveries),
            "errors_of_ours": self._errors_of_ours,
            "workers": self._settings.workers,
            "rates": list(self._rates),
            "p99s_ms": list(self._p99s),
        }
