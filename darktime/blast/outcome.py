"""Makes the result of a run of all that was counted, judged and concluded. Pure, but for naming this machine."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from darktime import __version__
from darktime.blast.health import HEALTHY
from darktime.blast.metric_watch import Seen
from darktime.blast.record import percentiles, spectrum
from darktime.blast.result import SEARCHING, BlastResult

if TYPE_CHECKING:
    from datetime import datetime

    from darktime.blast.conclude import Conclusion
    from darktime.blast.connections import ConnectionCeiling
    from darktime.blast.offered import Offered
    from darktime.blast.record import Record
    from darktime.blast.result import Probe
    from darktime.blast.roll import Roll
    from darktime.blast.session import Session
    from darktime.blast.settings import BlastSettings
    from darktime.blast.task import Task

# Of these the figures are shown: where the run stood still long enough to be measured.
MEASURED = ("hold", "confirm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything there is when a run has ended."""

    settings: BlastSettings
    task: Task
    session: Session
    record: Record
    conclusion: Conclusion
    locust: dict[str, int]
    started: datetime
    duration_s: float
    requests_by_worker: dict[str, int]
    cpu_by_worker: dict[str, float]
    lost: tuple[str, ...]
    ceiling_per_s: float | None = None
    canary: dict[str, Any] | None = None
    ceiling: ConnectionCeiling | None = None
    seen: Seen = field(default_factory=Seen)
    roll: Roll | None = None  # who the workers were, where they are not this process


def result_of(outcome: Outcome) -> BlastResult:
    """The result under schema_version 1."""
    session, record, conclusion, settings = outcome.session, outcome.record, outcome.conclusion, outcome.settings
    counts, deliveries = record.counts, record.deliveries
    measured = _measured(session)
    latency = measured.latency() if measured is not None else counts.latency
    if not latency.count and measured is not None:
        latency = measured.counts.latency
    marks = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    listens = outcome.task.kind == "push" or bool(deliveries.streams_opened or deliveries.completed)
    kind = outcome.task.kind if outcome.task.kind in ("push", "http") else "stream" if listens else "http"
    return BlastResult(
        name=settings.scenario or "blast",
        command=settings.command,
        version=__version__,
        seed=settings.seed,
        host={"python": platform.python_version(), "kernel": platform.release(), "cpus": os.cpu_count() or 1},
        instance=settings.instance,
        endpoint=kind,
        model="closed" if settings.closed else "open",
        started=outcome.started.isoformat(timespec="seconds"),
        duration_s=round(outcome.duration_s, 3),
        slo=str(settings.slo),
        thresholds=tuple(_thresholds(session)),
        probes=tuple(_probe(probe, offered) for probe, offered in zip(session.probes, session.offered, strict=True)),
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
            "reordered": deliveries.reordered,
            "replayed": deliveries.replayed,
            "redirects": counts.redirects,
            "connects": counts.connects,
            "connect_errors": counts.connect_errors,
        },
        statuses=dict(counts.statuses),
        reasons=dict(counts.reasons),
        latency={name: latency.percentile_ms(percent) for name, percent in marks.items()},
        spectrum={
            "latency": spectrum(latency),
            "service": spectrum(measured.counts.service if measured is not None else counts.service),
        },
        heat=record.heat(),
        series=tuple(record.rows),
        streams=_streams(record, measured) if listens else None,
        overload=asdict(session.overload) if session.overload is not None else None,
        health=_health(session, outcome),
        calibration=_calibration(outcome),
        canary=outcome.canary,
        workers=tuple(_workers(outcome)),
        instance_metrics=outcome.seen.metrics,
        instance_metrics_ignored=outcome.seen.ignored,
        cold_start=_cold_start(measured),
        connection_ceiling=asdict(outcome.ceiling) if outcome.ceiling is not None else None,
        findings=tuple(asdict(finding) for finding in session.findings),
        locust=outcome.locust,
        exit_code=int(conclusion.exit_code),
    )


def _measured(session: Session) -> Offered | None:
    """The plan whose figures stand for the run: the last that was held on purpose, else the best that passed."""
    pairs = list(zip(session.probes, session.offered, strict=True))
    for _, offered in reversed(pairs):
        if offered.stage in MEASURED:
            return offered
    passed = [pair for pair in pairs if pair[0].passed]
    if passed:
        return max(passed, key=lambda pair: pair[0].rate_per_s)[1]
    return pairs[-1][1] if pairs else None


def _thresholds(session: Session) -> list[dict[str, Any]]:
    """As they stood in the plan whose figures stand for the run."""
    measured = _measured(session)
    for probe, offered in zip(session.probes, session.offered, strict=True):
        if offered is measured:
            return [{"text": one.text, "seen": one.seen, "unit": one.unit, "ok": one.ok} for one in probe.thresholds]
    return []


def _cold_start(measured: Offered | None) -> dict[str, Any] | None:
    cold = measured.cold_start if measured is not None else None
    if measured is None or cold is None or cold.rest is None:
        return None
    whole = measured.whole_latency()
    return {"seconds": cold.seconds, "of": cold.of, "whole": percentiles(whole), "sentence": cold.sentence(whole)}


def _probe(probe: Probe, offered: Offered) -> dict[str, Any]:
    saved = asdict(probe)
    saved["in_flight"] = None if probe.in_flight_mean is None else round(probe.in_flight_mean, 3)
    saved["service_p99_ms"] = offered.counts.service.percentile_ms(99)
    return saved


def _streams(record: Record, measured: Offered | None) -> dict[str, Any]:
    found = record.deliveries
    return {
        "open": measured.streams_open if measured is not None else 0,
        "opened": found.streams_opened,
        "ended": found.streams_ended,
        "completed": found.completed,
        "delivered": found.delivered,
        "lost": found.lost,
        "duplicated": found.duplicated,
        "reordered": found.reordered,
        "replayed": found.replayed,
        "late": found.late,
        "reasons": dict(found.reasons),
        "spread": percentiles(found.spread),
        "connect": percentiles(found.connect),
        "reconnect": percentiles(found.reconnect),
        "first_event": percentiles(found.first_event),
        "between": percentiles(found.between),
    }


def _health(session: Session, outcome: Outcome) -> dict[str, Any]:
    """The generator's worst figures over the plans. Its verdict: of a search the last, of plans that were asked for any."""
    healths = [offered.health for offered in session.offered]
    verdicts = [probe.health for probe in session.probes]
    if session.search is not None:  # what is offered beyond its capacity says nothing about the search
        verdicts = [probe.health for probe in session.probes if probe.stage in SEARCHING][-1:]
    verdict = next((one for one in verdicts if one != HEALTHY), HEALTHY)
    if outcome.lost:
        names = outcome.lost if outcome.roll is None else map(outcome.roll.name, outcome.lost)
        verdict = f"void: lost {', '.join(names)}"
    return {
        "send_lag_p99_ms": round(max((health.send_lag_p99_ms for health in healths), default=0.0), 3),
        "loop_lag_max_ms": round(max((health.loop_lag_max_ms for health in healths), default=0.0), 3),
        "cpu_share": round(max((health.cpu_share for health in healths), default=0.0), 3),
        "achieved_share": round(min((health.achieved_share for health in healths), default=1.0), 4),
        "backlog_share": round(max((health.backlog_share for health in healths), default=0.0), 4),
        "errors_of_ours": outcome.record.counts.errors_of_ours + outcome.record.deliveries.errors_of_ours,
        "verdict": verdict,
    }


def _calibration(outcome: Outcome) -> dict[str, float] | None:
    if outcome.ceiling_per_s is None:
        return None
    highest = max((probe.achieved_per_s for probe in outcome.session.probes), default=0.0)
    return {"ceiling_per_s": round(outcome.ceiling_per_s, 1), "share": round(highest / outcome.ceiling_per_s, 4)}


def _workers(outcome: Outcome) -> list[dict[str, Any]]:
    known = [
        {
            "id": node,
            "state": "lost" if node in outcome.lost else "ready",
            "requests": requests,
            "cpu_share": round(outcome.cpu_by_worker.get(node, 0.0), 3),
            **_machine(outcome.roll, node),
        }
        for node, requests in outcome.requests_by_worker.items()
    ]
    named = set(outcome.requests_by_worker)
    gone = [node for node in outcome.lost if node not in named]
    return known + [{"id": node, "state": "lost", "requests": 0, "cpu_share": 0.0} for node in gone]


def _machine(roll: Roll | None, node: str) -> dict[str, Any]:
    """Where a worker was, and how its clock stood to the head's."""
    if roll is None or node not in roll.machines:
        return {}
    clock = roll.clock(node)
    return {
        "host": str(roll.machines[node]),
        "clock_offset_ms": round(clock.offset_s * 1000, 3),
        "clock_error_ms": round(clock.error_s * 1000, 3),
    }
