"""Runs a split to its end: starts it, takes part in its experiment, watches, judges, leaves nothing behind."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from darktime.console.partaking import hosts_of, recorded, taking_part
from darktime.console.proof import Proof
from darktime.console.running import ABOUT, RAMPS
from darktime.console.starting import REDIS, joined, whole
from darktime.console.watching import Watching, say, signals
from darktime.errors import UsageError
from darktime.split.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from darktime.split.experiment import Experiment
    from darktime.split.lookout import Lookout
    from darktime.split.running import RunningSplit
    from darktime.split.schedule import Schedule
    from darktime.split.verdict import VerdictSettings

    Finish = Callable[..., dict[str, Any]]

RESULTS = ("pairs.jsonl", "pairs-*.jsonl", "calibration.jsonl", "calibration-*.jsonl")  # of an earlier split
MOST_TTL_S = 7 * 24 * 3600.0


def perform(folder: Path, finish: Finish | None = None, **asked: Any) -> dict[str, Any]:
    """Run the split to its end; its results, as ``finish`` puts them together.

    Without ``dark`` copies go nowhere but into the recording.
    """
    from darktime.split.commands import RECORDED, LedgerNames
    from darktime.split.conclusion import conclude, ledger_of, marred
    from darktime.split.experiment import Experiment, client_of
    from darktime.split.folder import alone, write_private
    from darktime.split.running import describe
    from realtime_core.stack import Stack, external_valkey

    _check(folder, asked["ttl"])
    began, name = datetime.now(UTC), f"split-{secrets.token_hex(4)}"
    schedule = asked["schedule"]
    start = joined(asked) if asked["joined"] else whole(asked)
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
            proof = Proof(running, asked["probe"])
            watching, vigil, lookout = _watching(
                running,
                folder,
                experiment,
                schedule,
                asked["margins"],
                later_s=asked.get("calibrate", 0.0),
                on_look=partial(describe, running, folder / ABOUT, margins=asked["margins"], ledger=name),
                proof=proof,
            )
            with signals() as ended:
                proof()  # before anybody is told that it runs: whoever dies later costs a verdict, not production's front
                watching.on_look(0)
                say(f"to stop: Ctrl-C, 'darktime kill', or touch {running.folder / 'kill'}")
                _say_that_it_calibrates(asked)
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
        asked |= {"percent": watching.percent, "cut_short": watching.cut_short}
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
    for incident in vigil.ended({name: running.processes[name].stop() for name in running.relay_states}):
        say(incident)
        results = marred(results, incident)
    say(stopped)
    return results


def _check(folder: Path, ttl_s: float) -> None:
    if not 0 < ttl_s <= MOST_TTL_S:
        raise UsageError(f"--ttl {ttl_s:g}: above 0, at most {MOST_TTL_S:,.0f} seconds: nothing is mirrored for ever")
    if any(any(folder.glob(name)) for name in RESULTS):
        raise UsageError(f"{folder} holds a split's results already: name another folder with --out DIR")


def _watching(
    running: RunningSplit,
    folder: Path,
    experiment: Experiment,
    schedule: Schedule | None,
    margins: VerdictSettings | None,
    *,
    later_s: float,
    on_look: Callable[[int], None],
    proof: Callable[[], None],
) -> tuple[Watching, Vigil, Lookout]:
    from darktime.split.lookout import Lookout
    from darktime.split.schedule import Pilot
    from darktime.split.stage import Stage
    from darktime.split.steering import Steering

    settings = running.settings
    vigil, lookout = (
        Vigil(running.processes, running.relay_states),
        Lookout(running.population, settings.key, lists=settings.only_listed or settings.never_listed),
    )
    steering = Steering(
        folder=running.folder, max_percent=settings.max_percent, ramps=folder / RAMPS, experiment=experiment
    )
    plan = None
    if schedule is not None:
        plan = Pilot(schedule, time.monotonic() + later_s), Stage(running.pairs, running.state, margins)
    watching = Watching(running, vigil, lookout, steering, plan=plan, on_look=on_look, proof=proof)
    return watching, vigil, lookout


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


def _say_that_it_calibrates(asked: dict[str, Any]) -> None:
    if asked.get("calibrate"):
        several = len(asked["dark"].split(", "))
        whose = f"GET and HEAD{f', of one user in {several},' if several > 1 else ''}"
        say(
            f"calibrating: for {asked['calibrate']:g} s copies of {whose} go to the secondary, all others to the dark side"
        )
