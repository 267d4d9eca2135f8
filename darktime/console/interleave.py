"""``darkesttime compare --ab``: the same plan against two instances in turn, A B B A …, each leg a blast of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from darktime.console.blast import END_S, NEEDED, argv_of
from darktime.console.folders import PRIVATE, keep_results
from darktime.errors import DarktimeError, ExitCode, UsageError
from darktime.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from darktime.blast.interleaved import Leg

LEG_S = 5.0
SEARCH_S = 20.0
# Thrown away: caches, pools and compilers of both sides have seen the load before it counts.
WARM_S = 2.0


def check_both(ab: tuple[str, str], asked: Mapping[str, Any]) -> None:
    """Hold both instances to the same limits of safety, and see that both answer alike. Raises UsageError."""
    require(NEEDED)
    from darktime.blast.probe import recognise
    from darktime.blast.settings import BlastSettings, check
    from darktime.blast.slo import DEFAULT, parse_slo

    addresses = []
    given = {name: asked[name] for name in ("connections", "processes") if asked[name] is not None}
    for instance in ab:
        settings = BlastSettings(
            instance=instance,
            **given,
            rate_per_s=asked["rate"],
            duration_s=asked["duration"],
            path=asked["path"],
            slo=parse_slo(asked["slo"] or DEFAULT),
            allow=tuple(asked["allow"]),
            max_rate_per_s=asked["max_rate"],
            scenario=asked["scenario"],
            **trust_of(instance, asked),
        )
        address = check(settings)
        if not address.loopback and address.host not in settings.allow:
            raise UsageError(f"{address.host} is not this machine: a comparison takes its time, so name it by --allow")
        addresses.append(address)
    path = "/" if asked["scenario"] else asked["path"]
    kinds = [recognise(address, path).kind for address in addresses]
    if kinds[0] != kinds[1]:
        raise UsageError(f"A is {kinds[0]} and B is {kinds[1]}: only two of a kind can be compared; name a --path")


def trust_of(instance: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of TLS is about the one of two that speaks it."""
    return {"cacert": asked["cacert"], "insecure": asked["insecure"]} if instance.startswith("https://") else {}


def perform(folder: Path, ab: tuple[str, str], pairs: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """All legs, and the results of kind "compare". Raises UsageError, DarktimeError where a leg could not be run."""
    from darktime.blast.interleaved import VOID, compare_legs, leg_of, order

    started, began = datetime.now(UTC), time.monotonic()
    instances = dict(zip("AB", ab, strict=True))
    turns = order(pairs)
    searched = asked["rate"] is None and not asked["scenario"]
    legs: list[Leg] = []
    interrupted = False
    with terminable():
        try:
            if not searched and not asked["scenario"]:
                say("one short leg of each first, thrown away")
                for side in "AB":
                    run_leg(folder / "legs" / f"00-{side}", {**asked, "instance": instances[side], "duration": WARM_S})
            for at, side in enumerate(turns):
                result = run_leg(folder / "legs" / f"{at + 1:02}-{side}", {**asked, "instance": instances[side]})
                if result["exit_code"] == ExitCode.INTERRUPTED:
                    interrupted = True
                    break
                legs.append(leg_of(side, result, searched=searched))
                say(f"leg {at + 1} of {len(turns)}, {side} {instances[side]}: {told(legs[-1])}")
                if legs[-1].exit_code == VOID:
                    break
        except KeyboardInterrupt:
            interrupted = True
    found = compare_legs(legs, planned=len(turns), interrupted=interrupted)
    return {
        "schema_version": 1,
        "kind": "compare",
        "started": started.isoformat(timespec="seconds"),
        "duration_s": round(time.monotonic() - began, 3),
        "a": side_of("A", ab[0], folder),
        "b": side_of("B", ab[1], folder),
        "plan": {
            "rate_per_s": asked["rate"],
            "leg_s": asked["duration"],
            "scenario": asked["scenario"],
            "slo": asked["slo"],
            "path": asked["path"],
            "pairs": pairs,
        },
        "legs": [asdict(leg) for leg in legs],
        "outcome": found.outcome,
        "metrics": [asdict(metric) for metric in found.metrics],
        "sentence": found.sentence,
        "exit_code": int(found.exit_code),
    }


def run_leg(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One blast to its end, its results kept in a folder of its own. Raises UsageError, DarktimeError, KeyboardInterrupt."""
    folder.mkdir(parents=True, mode=PRIVATE)
    path = folder / "blast.json"
    trust = trust_of(asked["instance"], asked)
    time = {"duration": None} if asked.get("own_time") else {}  # a scenario's plans take theirs
    argv = argv_of({**asked, **time, "cacert": None, "insecure": False, **trust, "metrics": "off"}, path)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise
    if not path.exists():
        why = said.strip().splitlines()[-1].removeprefix("darkesttime blast: ") if said.strip() else "it left no result"
        raise (UsageError if process.returncode == ExitCode.USAGE else DarktimeError)(f"{asked['instance']}: {why}")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    keep_results(folder, result)
    return result


def side_of(letter: str, instance: str, folder: Path) -> dict[str, Any]:
    """Where the legs of one side are."""
    return {"name": instance, "folder": str(folder / "legs" / f"*-{letter}"), "capacity": None}


def told(leg: Leg) -> str:
    """A leg in a line."""
    from darktime.report import figures as fig

    figures = leg.figures
    words = [f"{name} {fig.ms(figures[name])}" for name in ("p50", "p99") if name in figures]
    words += [f"{name} {fig.count(figures[name])}/s" for name in ("capacity", "goodput") if name in figures]
    return ", ".join(words) or leg.why


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the legs as Ctrl-C does, with what there is."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """A line for whoever watches."""
    click.echo(text, err=True)
