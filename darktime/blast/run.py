"""Runs a blast: Locust as a library, a head, one cohort a process, and the result.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gevent
from locust.env import Environment

from darktime.blast.blaster import Blaster
from darktime.blast.conclude import Conclusion, conclude
from darktime.blast.crew import Crew
from darktime.blast.feed import totals
from darktime.blast.hand import Inbox
from darktime.blast.head import Head
from darktime.blast.metric_watch import MetricWatch, source_of
from darktime.blast.modest import MODEST_PUBLISHERS
from darktime.blast.outcome import Outcome, result_of
from darktime.blast.probe import check_there, recognise, speaks_tls
from darktime.blast.record import Record
from darktime.blast.remarks import may_speak_tls, remarked
from darktime.blast.session import Session
from darktime.blast.settings import PUBLISHERS, admitted, check_rate, is_named, reserve_open_files
from darktime.blast.task import Task
from darktime.blast.witness import Witness
from darktime.errors import ExitCode, RunInvalid, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.offered import Second
    from darktime.blast.result import BlastResult, Probe
    from darktime.blast.settings import Address, BlastSettings

# Locust's workers report every second; their last report arrives within a few.
TOTALS_S = 6.0
LOOK_S = 0.05
CALIBRATE_S = 20.0


def blast(
    settings: BlastSettings,
    *,
    on_progress: Callable[[Probe], None] | None = None,
    on_second: Callable[[Second], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BlastResult:
    """Saturate one instance and say what it holds.

    ``on_progress`` is told of every probe, ``on_second`` of every second. ``stop`` is asked at least every 50 ms; once
    true, the partial result is returned with exit code 130. A run whose limit was the generator, or that lost a worker,
    is a result too (exit code 4). Raises UsageError, before any load, for what may not or cannot be done.
    """
    settings, address = admitted(settings)
    metrics = source_of(settings, address)  # refused before anything is opened
    started = datetime.now(UTC)
    begun = time.monotonic()
    task = _task(settings, address)
    push = task.kind == "push"
    _check_objective(settings, address, task)
    reserve_open_files(-(-task.sockets() // settings.processes))
    scenario = task.load_scenario() if task.scenario else None
    if scenario is not None:
        check_rate(scenario.peak_rate_per_s(), settings)
        push = scenario.listens
    environment = Environment(user_classes=[Blaster])
    record = Record()

    def note(second: Second) -> None:
        record.seconds.append(second)
        record.add(second)
        if on_second is not None:
            on_second(second)

    watch = MetricWatch(metrics)
    ceiling_per_s = calibrated(settings, tls=address.tls) if settings.searches and not push else None
    witness = None
    if settings.with_canary:
        witness = Witness(address, "/channels-stats" if push else task.path)
    crew: Crew | None = None
    if settings.processes > 1:
        runner: Any = environment.create_master_runner("127.0.0.1", 0)
        crew = Crew(settings.processes, "127.0.0.1", runner.server.port)
    else:
        runner = environment.create_local_runner()
        Blaster.inbox = Inbox(environment)
    head = Head(environment, task, settings.processes, stop=stop, dead=crew.dead if crew else list, on_second=note)
    session = Session(
        settings,
        head,
        push=push,
        scenario=scenario,
        seconds=record.seconds,
        on_probe=on_progress,
        stop=stop,
        witness=witness,
    )
    void = ""
    try:
        _start(runner, settings.processes, head)
        head.gather()
        if not stop():
            session.run()
    except RunInvalid as error:
        void = str(error)
    finally:
        head.stop()
        listed = _listed(environment, head, record)
        runner.quit()
        canary = _heard(witness, record)
        seen = watch.finish(record.began_s)
        if crew is not None:
            crew.stop()
    return result_of(
        Outcome(
            settings=settings,
            task=task,
            session=session,
            record=record,
            conclusion=_remarked(
                _conclude(session, settings, push=push, void=void, interrupted=stop(), ceiling_per_s=ceiling_per_s),
                settings,
                address,
                record,
                unit="publishes" if push else "requests",
            ),
            ceiling_per_s=ceiling_per_s,
            canary=canary,
            seen=seen,
            locust=listed,
            started=started,
            duration_s=time.monotonic() - begun,
            requests_by_worker=head.requests_by_worker,
            cpu_by_worker=head.cpu_by_worker,
            lost=tuple(head.lost),
        )
    )


def _check_objective(settings: BlastSettings, address: Address, task: Task) -> None:
    if task.kind == "http" and settings.slo.only_for_streams:
        names = ", ".join(str(one) for one in settings.slo.only_for_streams)
        raise UsageError(f"--slo: {names} is about streams, and {address.authority} is plain HTTP: leave it out")


def _start(runner: Any, processes: int, head: Head) -> None:
    """One user a process. With workers, once they are there."""
    if processes == 1:
        runner.start(1, spawn_rate=1)
        return
    head.await_processes(lambda: len(runner.clients.ready))
    gevent.spawn(runner.start, processes, processes)


def _task(settings: BlastSettings, address: Address) -> Task:
    endpoint = None if settings.scenario else recognise(address, settings.path)
    if endpoint is None and address.tls:
        check_there(address)
    push = endpoint is not None and endpoint.kind == "push"
    return Task(
        address=asdict(address),
        run=secrets.token_hex(4),
        kind=endpoint.kind if endpoint else "scenario",
        path=endpoint.path if endpoint else "/",
        scenario=settings.scenario or "",
        numbers=settings.numbers,
        connections=settings.connections,
        streams=settings.streams if push else 0,
        publishers=PUBLISHERS if is_named(settings, address) else MODEST_PUBLISHERS,
        channels=settings.channels,
        channel=settings.channel or "",
        timeout_s=settings.timeout_s,
        fresh=settings.fresh,
        follow=settings.follow,
        headers=settings.headers,
    )


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
    argv = [sys.executable, "-m", "darktime.blast.calibrate", str(settings.connections), *(["tls"] if tls else [])]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=CALIBRATE_S, check=True)
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return float(found["requests"] / found["cpu_s"] * settings.processes) if found["cpu_s"] else None


def _heard(witness: Witness | None, record: Record) -> dict[str, Any] | None:
    """What the canary saw, second by second into the record, and as a whole."""
    if witness is None:
        return None
    summary = witness.summary()
    witness.close()
    for at, took in witness.answers:
        if took >= 0:
            record.note_canary(int(at), took / 1000)
    return summary


def _remarked(
    conclusion: Conclusion, settings: BlastSettings, address: Address, record: Record, *, unit: str
) -> Conclusion:
    return remarked(
        conclusion,
        address,
        modest_per_s=None if is_named(settings, address) else settings.rate_per_s,
        counts=record.counts,
        unit=unit,
        tls_is_spoken=may_speak_tls(address, record.counts) and speaks_tls(address),
    )


def _conclude(
    session: Session,
    settings: BlastSettings,
    *,
    push: bool,
    void: str,
    interrupted: bool,
    ceiling_per_s: float | None = None,
) -> Conclusion:
    if void:
        return Conclusion(
            highest_pass_per_s=None,
            lowest_fail_per_s=None,
            limit="generator",
            sentence=f"No capacity is given: {void}.",
            exit_code=ExitCode.INVALID,
        )
    return conclude(
        session.probes,
        session.interval(),
        settings.slo,
        unit="publishes" if push else "requests",
        interrupted=interrupted,
        inconclusive=settings.inconclusive,
        ceiling_per_s=ceiling_per_s,
    )
