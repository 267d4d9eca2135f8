"""Runs a blast: Locust as a library, one cohort in it, and the result.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gevent.event import Event
from locust.env import Environment

from darktime.blast.conclude import Interval, conclude
from darktime.blast.feed import LocustFeed
from darktime.blast.health import HEALTHY
from darktime.blast.probe import recognise
from darktime.blast.result import BlastResult
from darktime.blast.session import Session, sockets_needed
from darktime.blast.settings import check, max_rate, reserve_open_files
from darktime.blast.user import CohortUser
from darktime.errors import DarktimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.cohort import Cohort
    from darktime.blast.conclude import Conclusion
    from darktime.blast.histogram import Histogram
    from darktime.blast.result import Probe
    from darktime.blast.settings import BlastSettings

# Beyond the budget: opening, repeats of a failed probe, draining.
SLACK_S = 60.0


def blast(
    settings: BlastSettings,
    *,
    on_progress: Callable[[Probe], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BlastResult:
    """Saturate one instance and say what it holds.

    ``on_progress`` is told of every probe. ``stop`` is asked at least every 50 ms; once true, the partial result is
    returned with exit code 130. A run whose limit was the generator is a result too (exit code 4). Raises UsageError,
    before any load,
    for what may not or cannot be done.
    """
    address = check(settings)
    started = datetime.now(UTC)
    begun = time.monotonic()
    endpoint = recognise(address, settings.path)
    reserve_open_files(sockets_needed(settings, endpoint))
    session = Session(settings, address, endpoint, on_progress=on_progress, stop=stop)
    method, name = ("POST", "/pub") if endpoint.kind == "push" else ("GET", endpoint.path)
    locust_totals = _run_in_locust(session, method, name)
    conclusion = conclude(
        session.probes,
        _interval(session),
        settings.slo,
        unit="publishes" if endpoint.kind == "push" else "requests",
        interrupted=session.interrupted,
    )
    return _result(session, conclusion, locust_totals, started=started, duration_s=time.monotonic() - begun)


def _run_in_locust(session: Session, method: str, name: str) -> dict[str, int]:
    """Run the session as the only user of a local runner; what Locust's table then says."""
    done = Event()
    failures: list[BaseException] = []
    feeds: list[LocustFeed] = []

    class Blaster(CohortUser):
        host = session.settings.instance

        def run_cohort(self, cohort: Cohort) -> None:
            feed = LocustFeed(self.environment, method, name)
            feeds.append(feed)
            try:
                session.run(cohort, feed)
            except Exception as error:  # noqa: BLE001 - raised again by who waits
                failures.append(error)
            finally:
                cohort.flush()
                done.set()

    environment = Environment(user_classes=[Blaster])
    runner = environment.create_local_runner()
    try:
        runner.start(1, spawn_rate=1)
        if not done.wait(timeout=session.settings.duration_s * 2 + SLACK_S):
            raise DarktimeError(
                f"the run did not end within {session.settings.duration_s * 2 + SLACK_S:g} s: it is given up"
            )
        if failures:
            raise failures[0]
        return feeds[0].totals()
    finally:
        runner.quit()


def _interval(session: Session) -> Interval:
    search = session.search
    if search is not None:
        return Interval(
            highest_pass_per_s=search.highest_pass_per_s,
            lowest_fail_per_s=search.lowest_fail_per_s,
            maximum_per_s=max_rate(session.settings),
            budget_spent=session.budget_spent,
            searched=True,
        )
    if not session.probes:
        return Interval(highest_pass_per_s=None, lowest_fail_per_s=None)
    probe = session.probes[-1]
    return Interval(
        highest_pass_per_s=probe.rate_per_s if probe.passed else None,
        lowest_fail_per_s=None if probe.passed else probe.rate_per_s,
    )


def _result(
    session: Session, conclusion: Conclusion, locust_totals: dict[str, int], *, started: datetime, duration_s: float
) -> BlastResult:
    tally = session.tally
    assert tally is not None
    counts, deliveries = tally.counts, tally.deliveries
    latency = deliveries.latency if session.endpoint.kind == "push" else counts.latency
    return BlastResult(
        instance=session.settings.instance,
        endpoint=session.endpoint.kind,
        model="closed" if session.settings.closed else "open",
        started=started.isoformat(timespec="seconds"),
        duration_s=round(duration_s, 3),
        slo=str(session.settings.slo),
        probes=tuple(session.probes),
        capacity={
            "highest_pass_per_s": conclusion.highest_pass_per_s,
            "lowest_fail_per_s": conclusion.lowest_fail_per_s,
        },
        limit=conclusion.limit,
        sentence=conclusion.sentence,
        totals={
            "requests": counts.requests,
            "failures": counts.failures,
            "bytes": counts.bytes + deliveries.bytes,
            "deliveries": deliveries.delivered,
            "lost": deliveries.lost,
            "duplicated": deliveries.duplicated,
        },
        latency=_percentiles(latency),
        health=_health(session),
        locust=locust_totals,
        exit_code=int(conclusion.exit_code),
    )


def _percentiles(latency: Histogram) -> dict[str, float | None]:
    marks = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    return {name: latency.percentile_ms(percent) for name, percent in marks.items()}


def _health(session: Session) -> dict[str, Any]:
    """The generator's worst figures over the probes, and the verdict of the last."""
    healths = [offered.health for offered in session.offered]
    return {
        "send_lag_p99_ms": round(max((health.send_lag_p99_ms for health in healths), default=0.0), 3),
        "loop_lag_max_ms": round(max((health.loop_lag_max_ms for health in healths), default=0.0), 3),
        "cpu_share": round(max((health.cpu_share for health in healths), default=0.0), 3),
        "achieved_share": round(min((health.achieved_share for health in healths), default=1.0), 4),
        "verdict": session.probes[-1].health if session.probes else HEALTHY,
    }
