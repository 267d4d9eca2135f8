"""Runs a blast: Locust as a library, a head, one cohort a process, and the result.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gevent
from locust.env import Environment

from darktime.blast.assignment import scenario_of, task_of
from darktime.blast.blaster import Blaster
from darktime.blast.ceiling import ceiling_of_one
from darktime.blast.conclude import Conclusion, conclude, with_findings
from darktime.blast.connections import ConnectionCeiling, connection_ceiling
from darktime.blast.exact_rows import exact_rows
from darktime.blast.feed import totals
from darktime.blast.fleet import Fleet
from darktime.blast.head import Head
from darktime.blast.metric_watch import MetricWatch, source_of
from darktime.blast.outcome import Outcome, result_of
from darktime.blast.probe import speaks_tls
from darktime.blast.record import Record
from darktime.blast.remarks import may_speak_tls, remarked
from darktime.blast.session import Session
from darktime.blast.settings import admitted, is_named
from darktime.blast.web import Page, listen
from darktime.blast.witness import Witness
from darktime.errors import ExitCode, RunInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.offered import Second
    from darktime.blast.plan import Plan
    from darktime.blast.result import BlastResult, Probe
    from darktime.blast.settings import Address, BlastSettings
    from darktime.blast.task import Task

# Locust's workers report every second; their last report arrives within a few.
TOTALS_S = 6.0
LOOK_S = 0.05


def blast(
    settings: BlastSettings,
    *,
    on_progress: Callable[[Probe], None] | None = None,
    on_second: Callable[[Second], None] | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> BlastResult:
    """Saturate one instance and say what it holds.

    ``on_progress`` is told of every probe, ``on_second`` of every second, ``on_plan`` of what begins, ``on_note`` of what
    else is to be said while it runs (who joined; where the page is). ``stop`` is asked at least every 50 ms; once
    true, the partial result is returned with exit code 130. A run whose limit was the generator, or that lost a worker,
    is a result too (exit code 4). Raises UsageError, before any load, for what may not or cannot be done.
    """
    settings, address = admitted(settings)
    metrics = source_of(settings, address)  # refused before anything is opened
    started, begun = datetime.now(UTC), time.monotonic()
    task = task_of(settings, address)
    settings, scenario, push = scenario_of(settings, task, address, note=on_note)
    environment = Environment(user_classes=[Blaster])
    record = Record()

    def note(second: Second) -> None:
        record.add(second)
        if on_second is not None:
            on_second(second)

    wanted = settings.searches and not push
    ceiling_per_s = calibrated(settings, tls=address.tls) if wanted and settings.master is None else None
    halted = Halt(stop)
    environment.host = address.origins[0]  # what Locust's page and reports name
    listener = listen(settings.web) if settings.web is not None else None
    watch = MetricWatch(metrics)
    fleet = Fleet(settings, environment, note=on_note)
    witness = None
    if settings.with_canary:
        witness = Witness(address, "/channels-stats" if push else task.path, task.headers)
    head = Head(environment, task, fleet.workers, stop=halted, dead=fleet.dead, roll=fleet.roll, on_second=note)
    session = Session(
        settings,
        head,
        push=push,
        scenario=scenario,
        record=record,
        on_probe=on_progress,
        stop=halted,
        witness=witness,
        on_plan=on_plan,
    )
    page = None
    if listener is not None:
        page = Page(environment, listener, rows=lambda: exact_rows(record, session.probes), interrupt=halted.interrupt)
        on_note(f"the page of this run is at {page.address}")
    void, ended = "", False
    try:
        fleet.start(head)
        head.gather(calibrate=wanted and settings.master is not None)
        ceiling_per_s = ceiling_per_s if head.ceiling_per_s is None else head.ceiling_per_s
        if not halted():
            session.run()
        ended = True
    except RunInvalid as error:
        void, ended = str(error), True
    finally:
        head.stop()
        listed = _listed(environment, head, record)
        duration_s, interrupted = time.monotonic() - begun, halted()
        if page is not None:
            page.close(settings.web.stay_s if settings.web is not None and ended else 0.0, stop)
        fleet.stop()
        canary = _heard(witness, record)
        seen = watch.finish(record.began_s)
    met = _ceiling_met(session, record, task)
    return result_of(
        Outcome(
            settings=settings,
            ceiling=met,
            task=task,
            session=session,
            record=record,
            conclusion=_concluded(
                session,
                settings,
                address,
                record,
                met=met,
                push=push,
                void=void,
                interrupted=interrupted,
                ceiling_per_s=ceiling_per_s,
            ),
            ceiling_per_s=ceiling_per_s,
            canary=canary,
            seen=seen,
            locust=listed,
            started=started,
            duration_s=duration_s,
            requests_by_worker=head.requests_by_worker,
            cpu_by_worker=head.cpu_by_worker,
            lost=tuple(head.lost),
            roll=fleet.roll,
        )
    )


class Halt:
    """Whether the run is to end now: because its caller says so, or somebody on its page did."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._interrupted = False

    def __call__(self) -> bool:
        """Asked all the time."""
        return self._interrupted or self._stop()

    def interrupt(self) -> None:
        """End it, with what there is."""
        self._interrupted = True


def _listed(environment: Environment, head: Head, record: Record) -> dict[str, int]:
    """Locust's totals, once they have heard of everything; after some seconds as they stand."""
    until = time.monotonic() + TOTALS_S
    while time.monotonic() < until:
        gevent.sleep(LOOK_S)
        expected = record.counts.requests + head.held_back()
        if totals(environment)["requests"] >= expected:
            break
    head.finish()
    return totals(environment)


def calibrated(settings: BlastSettings, *, tls: bool = False) -> float | None:
    """Requests a second that all processes together are enough for; None when it could not be measured."""
    one = ceiling_of_one(settings.connections, tls=tls)
    return one * settings.processes if one is not None else None


def _heard(witness: Witness | None, record: Record) -> dict[str, Any] | None:
    """What the canary saw, second by second into the record, and as a whole."""
    if witness is None:
        return None
    witness.close()
    summary = witness.summary(record.counts.requests + record.deliveries.delivered)
    for at, took in witness.answers:
        if took >= 0:
            record.note_canary(int(at), took / 1000)
    return summary


def _ceiling_met(session: Session, record: Record, task: Task) -> ConnectionCeiling | None:
    """Of streams that listen, or of plain HTTP on connections that are kept: others end by themselves."""
    fullest = max(session.offered, key=lambda offered: offered.streams_open, default=None)
    if fullest is not None and fullest.streams_never_served:
        served, heard = fullest.streams_open, record.deliveries
        wanted = served + fullest.streams_never_served
        return connection_ceiling(heard.turned_away, heard.connect, served=served, wanted=wanted, what="streams")
    if task.kind != "http" or task.fresh:
        return None
    served = max((offered.connections_served for offered in session.offered), default=0)
    counts = record.counts
    return connection_ceiling(counts.turned_away, counts.connect, served=served, wanted=task.connections)


def _concluded(
    session: Session,
    settings: BlastSettings,
    address: Address,
    record: Record,
    *,
    met: ConnectionCeiling | None,
    push: bool,
    void: str,
    interrupted: bool,
    ceiling_per_s: float | None,
) -> Conclusion:
    """What the probes come to, with what else is to be said of this instance."""
    unit = "publishes" if push else "requests"
    if void:
        conclusion = Conclusion(
            highest_pass_per_s=None,
            lowest_fail_per_s=None,
            limit="generator",
            sentence=f"No capacity is given: {void}.",
            exit_code=ExitCode.INVALID,
        )
    else:
        conclusion = conclude(
            session.probes,
            session.interval(),
            settings.slo,
            unit=unit,
            interrupted=interrupted,
            inconclusive=settings.inconclusive,
            ceiling_per_s=ceiling_per_s,
        )
        conclusion = with_findings(conclusion, session.findings)
    return remarked(
        conclusion,
        address,
        modest_per_s=None if is_named(settings, address) else settings.rate_per_s,
        counts=record.counts,
        unit=unit,
        ceiling=met,
        cold_start=session.cold_start(),
        not_beyond=session.not_beyond,
        ended_early=session.ended_early,
        tls_is_spoken=may_speak_tls(address, record.counts) and speaks_tls(address),
    )
