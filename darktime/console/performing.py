"""Runs a split to its end: starts it, takes part in its experiment, watches, judges, leaves nothing behind."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from darktime.console.asked import (
    as_included,
    choices,
    comparing,
    endpoints_of,
    given,
    lists_of,
    whole_bodies,
    workers_asked,
)
from darktime.console.dark_side import side_of
from darktime.console.front import front_asked, production_asked, reached, refuse_beside_theirs
from darktime.console.include import prove, read_includes
from darktime.console.recording import record_settings, to_whom
from darktime.console.running import ABOUT, RAMPS
from darktime.console.watching import Watching, say, signals
from darktime.errors import UsageError
from darktime.split.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from darktime.split.commands import LedgerNames
    from darktime.split.experiment import Experiment, Standing
    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.schedule import Schedule
    from darktime.split.verdict import VerdictSettings
    from realtime_core.stack import Stack

    Finish = Callable[..., dict[str, Any]]

REDIS = "redis.url"
PAIRS = "pairs.jsonl"
MOST_TTL_S = 7 * 24 * 3600.0


def perform(folder: Path, finish: Finish | None = None, **asked: Any) -> dict[str, Any]:
    """Run the split to its end; its results, as ``finish`` puts them together.

    Without ``dark`` copies go nowhere but into the recording.
    """
    from darktime.split.commands import RECORDED, LedgerNames
    from darktime.split.conclusion import conclude, ledger_of
    from darktime.split.experiment import Experiment, client_of
    from darktime.split.folder import alone, write_private
    from darktime.split.running import describe
    from realtime_core.stack import Stack, external_valkey

    if not 0 < asked["ttl"] <= MOST_TTL_S:
        raise UsageError(
            f"--ttl {asked['ttl']:g}: above 0, at most {MOST_TTL_S:,.0f} seconds: nothing is mirrored for ever"
        )
    if (folder / PAIRS).exists() or any(folder.glob("pairs-*.jsonl")):
        raise UsageError(f"{folder} holds a split's results already: name another folder with --out DIR")
    began, name = datetime.now(UTC), f"split-{secrets.token_hex(4)}"
    schedule = asked["schedule"]
    start = _joined(asked) if asked["joined"] else _whole(asked)
    with ExitStack() as last, Stack(folder / "stack") as stack:
        if asked["joined"]:
            last.enter_context(alone(asked["joined"]))
        redis = external_valkey(asked["redis"], name=name) if asked["redis"] else stack.valkey()
        if asked["redis"]:
            last.callback(leave_nothing, redis.client, name)  # once nobody writes there any more
        write_private(folder / REDIS, redis.url + "\n")
        last.callback((folder / REDIS).unlink)
        last.callback(
            (folder / ABOUT).unlink, missing_ok=True
        )  # who looks for a split that runs must not find this one
        experiment = Experiment(client_of(redis.url), asked["experiment"])
        ledger = LedgerNames(url=redis.url, name=name, url_file=folder / REDIS)
        ledger = ledger if asked["dark"] else replace(ledger, hop_compared=RECORDED)
        with taking_part(experiment, asked) as standing:
            running = start(stack, folder, ledger, standing.percent)
            last.callback(close_relays, running)  # once they have ended
            watching, vigil, lookout = _watching(
                running, folder, experiment, schedule, asked["margins"], later_s=asked.get("calibrate", 0.0)
            )
            with signals() as ended:
                describe(running, folder / ABOUT)
                say(f"to stop: Ctrl-C, 'darktime kill', or touch {running.folder / 'kill'}")
                if asked.get("calibrate"):
                    say(
                        f"calibrating: for {asked['calibrate']:g} s copies go to the secondary, not to the dark instance"
                    )
                if asked["joined"] and asked["probe"] and standing.percent:
                    prove(running, asked["probe"], say)
                seconds = min(asked["duration"] or asked["ttl"], asked["ttl"])
                stopped = watching.until_over(seconds=seconds, ttl_s=asked["ttl"], ended=ended)
            vigil.release("agent")
            running.processes["agent"].stop()
            running.ramp(0)
            ramps, hosts = recorded(experiment, folder), hosts_of(experiment, standing)
        watching.settle()
        failed = running.gather(last=True)
        if failed:
            vigil.incidents.append(failed)
        balances = ledger_of(redis.client, name, vigil)
        asked["percent"] = watching.percent
        results = (finish or conclude)(
            running,
            vigil,
            asked,
            began=began,
            balances=balances,
            watched=lookout,
            ramps=ramps,
            settings=asked["margins"],
            look=watching.looks + 1,
            hosts=hosts,
        )
        running.end_relays()
    say(stopped)
    return results


def _watching(
    running: RunningSplit,
    folder: Path,
    experiment: Experiment,
    schedule: Schedule | None,
    margins: VerdictSettings | None,
    *,
    later_s: float,
) -> tuple[Watching, Vigil, Lookout]:
    from darktime.split.lookout import Lookout
    from darktime.split.schedule import Pilot
    from darktime.split.stage import Stage
    from darktime.split.steering import Steering

    settings = running.settings
    vigil, lookout = (
        Vigil(running.processes),
        Lookout(running.population, settings.key, lists=settings.only_listed or settings.never_listed),
    )
    steering = Steering(
        folder=running.folder, max_percent=settings.max_percent, ramps=folder / RAMPS, experiment=experiment
    )
    plan = None
    if schedule is not None:
        plan = Pilot(schedule, time.monotonic() + later_s), Stage(running.pairs, running.state, margins)
    return Watching(running, vigil, lookout, steering, plan=plan), vigil, lookout


@contextmanager
def taking_part(experiment: Experiment, asked: dict[str, Any]) -> Iterator[Standing]:
    """Take part in the experiment, as one of its hosts, until this is over. Raises UsageError."""
    from darktime.split.experiment import away
    from darktime.split.steering import whoami

    host, now = host_name(), time.time()
    standing = experiment.join(
        host,
        percent=asked["percent"],
        max_percent=asked["max_percent"] or asked["percent"],
        until=now + asked["ttl"],
        who=whoami(),
        now=now,
    )
    others = [one for one in standing.hosts if one != host]
    if others:
        say(f"experiment {experiment.name} runs already, on {', '.join(others)}: it stands at {standing.percent:g} %")
    try:
        yield standing
    finally:
        try:
            experiment.leave(host)
        except away() as error:
            say(f"the Redis of the experiment does not answer; there it ends by itself, with its time: {error}")


def recorded(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Every ramp of the experiment; those of this host alone where Redis has gone."""
    from darktime.split.experiment import away

    try:
        return experiment.ramps()
    except away():
        ramps = folder / RAMPS
        return [json.loads(line) for line in ramps.read_text().splitlines()] if ramps.exists() else []


def hosts_of(experiment: Experiment, begun: Standing) -> dict[str, Any]:
    """This host, and all that took part when it began or do now: each keeps results of its own."""
    from darktime.split.experiment import away

    try:
        now = experiment.standing()
    except away():
        now = None
    return {"here": host_name(), "all": list(dict.fromkeys((*begun.hosts, *(() if now is None else now.hosts))))}


def host_name() -> str:
    """What this process is called in an experiment."""
    return f"{platform.node()}:{os.getpid()}"


def _whole(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames, float], RunningSplit]:
    """What starts a split with an nginx of its own."""
    from darktime.split.folder import PrivateFolder
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import free_udp_ports, start_split
    from darktime.split.settings import Route, SplitSettings
    from realtime_core.stack import find_nginx

    nginx, production, side = find_nginx(asked["nginx"]), production_asked(asked), side_of(asked)
    front, workers = front_asked(asked, nginx, say), workers_asked(asked)
    asked["production"] = ", ".join(production.urls)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    lists, compare, endpoints = lists_of(asked), comparing(asked), endpoints_of(asked)
    check_instances(production.instances, () if side is None else side.instances, listen=asked["listen"])
    if compare.secondary is not None:
        today = (("production", at) for at in production.at)
        others = [*today, ("listen", asked["listen"]), *(("dark", at) for at in darks)]
        check_secondary(compare.secondary.removeprefix("http://"), others=others)
    tls = reached(production, say)

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
        private = stack.adopt(PrivateFolder()).path
        log_port, *more_log_ports = free_udp_ports(workers)
        settings = SplitSettings(
            listen=asked["listen"],
            front=front,
            routes=(Route(prefix="/", upstreams=production.at, mirrored=True, tls=tls),),
            relay_socket=private / "relay.sock",
            sink_socket=private / "sink.sock",
            log_port=log_port,
            more_log_ports=tuple(more_log_ports),
            **choices(asked),
        )
        for line in whole_bodies(settings):
            say(line)
        running = start_split(
            stack,
            settings,
            folder=private,
            nginx=nginx.path,
            dark=side,
            percent=percent,
            ttl_s=asked["ttl"],
            results=results,
            follow=results / REDIS,
            lists=lists,
            ledger=ledger,
            record=record_settings(asked, settings),
            compare=compare,
            endpoints=endpoints,
            transform=asked.get("transform"),
        )
        say(
            f"mirroring {percent:g} % of users {to_whom(asked)}; production's requests go to {front.address(settings.listen)}"
        )
        return running

    return start


def _joined(asked: dict[str, Any]) -> Callable[[Stack, Path, LedgerNames, float], RunningSplit]:
    """What starts a split beside an nginx that is already there."""
    from darktime.split.dark_side import parse_instance
    from darktime.split.instances import check_instances, check_secondary
    from darktime.split.running import start_joined

    folder, side = asked["joined"].resolve(), side_of(asked)
    asked["dark"] = None if side is None else ", ".join(side.urls)
    darks = () if side is None else tuple(one.at for one in side.instances)
    refuse_beside_theirs(given, "--include")
    settings, where, hosts = read_includes(folder, asked)
    as_included(settings, asked)
    lists, compare, endpoints = lists_of(asked), comparing(asked), endpoints_of(asked)
    others = [("dark", at) for at in darks]
    if asked["production"]:
        today = [parse_instance(url, "production") for url in asked["production"]]
        others += [("production", one.at) for one in today]
        check_instances(today, () if side is None else side.instances)
    if compare.secondary is not None:
        check_secondary(compare.secondary.removeprefix("http://"), others=others)
    asked["production"] = ", ".join(asked["production"]) or where

    def start(stack: Stack, results: Path, ledger: LedgerNames, percent: float) -> RunningSplit:
        running = start_joined(
            stack,
            settings,
            folder=folder,
            dark=side,
            percent=percent,
            ttl_s=asked["ttl"],
            results=results,
            follow=results / REDIS,
            lists=lists,
            front=where,
            hosts=hosts,
            ledger=ledger,
            record=record_settings(asked, settings),
            compare=compare,
            endpoints=endpoints,
            transform=asked.get("transform"),
        )
        say(f"mirroring {percent:g} % of users {to_whom(asked)}, in the nginx that has the includes of {folder}")
        return running

    return start


def close_relays(running: RunningSplit) -> None:
    """Take what the relays wrote as they ended, or say that it could not be."""
    failed = running.close()
    if failed:
        say(failed)


def leave_nothing(client: Callable[[], Redis], name: str) -> None:
    """Take this run's keys out of a Redis that is not ours, or say which they are."""
    from redis import RedisError

    from darktime.split.conclusion import forget

    try:
        forget(client, name)
    except RedisError as error:
        say(f"the keys of this run are still in that Redis, all have {{{name}}} in their names: {error}")
