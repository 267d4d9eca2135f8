"""What the workers of a run are given to do: made of its settings, and of what its instance turns out to be."""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from darktime.blast.arrivals import Share
from darktime.blast.catalogue import digest
from darktime.blast.combinations import refuse_of_another_kind
from darktime.blast.limits import backlog_note, check_ports, port_range
from darktime.blast.modest import MODEST_PUBLISHERS
from darktime.blast.probe import check_there, recognise
from darktime.blast.settings import PUBLISHERS, check_rate, is_named, max_rate, reserve_open_files
from darktime.blast.slo import parse_slo
from darktime.blast.source_addresses import named_sources
from darktime.blast.task import Task
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.blast.scenario import Scenario
    from darktime.blast.settings import Address, BlastSettings


def task_of(settings: BlastSettings, address: Address) -> Task:
    """Asks the instance what it is. Raises UsageError where nobody answers."""
    endpoint = None if settings.scenario else recognise(address, settings.path)
    if endpoint is None and address.tls:
        check_there(address)
    push = endpoint is not None and endpoint.kind == "push"
    if endpoint is not None:
        refuse_of_another_kind(settings.asked, address.authority, push=push)
    return Task(
        address=asdict(address),
        run=secrets.token_hex(4),
        kind=endpoint.kind if endpoint else "scenario",
        path=endpoint.path if endpoint else "/",
        scenario=settings.scenario or "",
        scenario_digest=digest(settings.scenario) if settings.scenario and settings.master is not None else "",
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
        allowed_host="" if address.loopback else address.host,
        max_rate_per_s=max_rate(settings),
        sources=named_sources(settings.sources, address),
        connects_per_s=settings.connects_per_s,
    )


def _check_ports(settings: BlastSettings, task: Task, address: Address) -> None:
    """Workers of this machine share the ports of the sources they share. Raises UsageError."""
    own = task.place(Share(index=0, workers=settings.workers)).source_ips
    needed = task.sockets()
    if settings.master is not None or (own and not task.sources):
        needed = -(-needed // settings.workers)
    check_ports(needed, port_range(), max(len(own), 1), address)


def scenario_of(
    settings: BlastSettings, task: Task, address: Address, *, note: Callable[[str], None]
) -> tuple[BlastSettings, Scenario | None, bool]:
    """The run with its scenario's objective, the scenario, if one was named, and whether streams listen.

    ``note`` is told where the instance's listen backlog may be too small. Raises UsageError for what cannot be done.
    """
    push = task.kind == "push"
    if not push and not task.scenario and settings.slo.only_for_streams:
        names = ", ".join(str(one) for one in settings.slo.only_for_streams)
        raise UsageError(f"--slo: {names} is about streams, and {address.authority} is plain HTTP: leave it out")
    reserve_open_files(-(-task.sockets() // settings.workers))
    _check_ports(settings, task, address)
    if said := backlog_note(task.connecting_at_once(settings.workers), address):
        note(said)
    scenario = task.load_scenario() if task.scenario else None
    if scenario is not None:
        check_rate(scenario.peak_rate_per_s(), settings)
        push = scenario.listens
        if scenario.objective() and not settings.slo_named:
            settings = replace(settings, slo=parse_slo(scenario.objective()))
    return settings, scenario, push
