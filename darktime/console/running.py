"""The options by which ``ramp``, ``kill``, ``who`` and ``status`` find the split that runs, here or by its Redis."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.folders import RUNS
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.experiment import Experiment
    from darktime.split.ledger_now import LedgerNow
    from darktime.split.steering import Steering

ABOUT = "split.json"
RAMPS = "ramps.jsonl"


def run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--run DIR``; the command gets what describes that split as ``about``."""
    return click.option(
        "--run",
        "about",
        type=click.Path(path_type=Path, file_okay=False),
        callback=find_running,
        help="The split's results folder; when left out, the one that runs here.",
    )(command)


def steering_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--run DIR``, and ``--redis URL --experiment NAME`` for a host where no split runs; gives ``steerings``.

    Those are one, but where several splits were left here, and none is named.
    """

    @wraps(command)
    def with_steering(*, folder: Path | None, redis: str | None, experiment: str | None, **given: Any) -> Any:
        return command(steerings=steerings_of(folder, redis, experiment), **given)

    for option in (
        click.option("--experiment", metavar="NAME", help="With --redis: which one."),
        click.option("--redis", metavar="URL", help="The Redis of the experiment, from a host where no split runs."),
        click.option(
            "--run",
            "folder",
            type=click.Path(path_type=Path, file_okay=False),
            help="The split's results folder; when left out, the one that runs here.",
        ),
    ):
        with_steering = option(with_steering)
    return with_steering


def steerings_of(folder: Path | None, redis: str | None, experiment: str | None) -> list[Steering]:
    """What steers the splits of that folder or of this place, or the experiment in that Redis. Raises UsageError."""
    from darktime.split.experiment import Experiment, client_of
    from darktime.split.steering import Steering

    if redis is not None:
        if experiment is None or folder is not None:
            raise UsageError(
                "--redis URL goes with --experiment NAME, and without --run: it steers all hosts of that one"
            )
        return [
            Steering(folder=None, max_percent=100.0, ramps=None, experiment=Experiment(client_of(redis), experiment))
        ]
    if experiment is not None:
        raise UsageError("--experiment goes with --redis URL: a split that runs here is found by --run")
    return [
        Steering(
            folder=Path(about["folder"]),
            max_percent=float(about["max_percent"]),
            ramps=Path(about["ramps"]),
            experiment=experiment_of(about),
        )
        for about in ([find_running(None, None, folder)] if folder is not None else running_here())
    ]


def experiment_of(about: dict[str, Any]) -> Experiment | None:
    """The experiment that a running split follows; None where it follows none."""
    from darktime.split.experiment import Experiment, client_of

    try:
        url = Path(about.get("redis") or "").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Experiment(client_of(url), str(about["salt"]))


def ledger_of(about: dict[str, Any]) -> LedgerNow | None:
    """The ledger of a running split; None where it has none, or nobody may ask it."""
    from darktime.split.experiment import client_of
    from darktime.split.ledger_now import LedgerNow

    name = about.get("ledger")
    try:
        url = Path(about.get("redis") or "").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return None if name is None else LedgerNow(client_of(url), name)


def find_running(_ctx: click.Context | None, _param: click.Parameter | None, folder: Path | None) -> dict[str, Any]:
    """What describes the running split in that folder, or the one that runs here. Raises UsageError."""
    from darktime.split.running import find

    if folder is not None:
        return _known(find(folder / ABOUT), folder)
    found = running_here()
    if len(found) > 1:
        raise UsageError(
            f"several splits run here: name one, {' or '.join('--run ' + about['run'] for about in found)}"
        )
    return found[0]


def running_here() -> list[dict[str, Any]]:
    """What describes each split that runs here, oldest first; where no process of any is alive, those that were left.

    Raises UsageError where there is none.
    """
    from darktime.split.running import alive, find

    left, why = [], f"no split runs here (none in {RUNS.resolve()}): name its results folder with --run DIR"
    for path in sorted(RUNS.glob(f"*/{ABOUT}")):
        try:
            left.append(_known(find(path), path.parent))
        except UsageError as error:
            why = str(error)
    if not left:
        raise UsageError(why)
    return [about for about in left if alive(about)] or left


def _known(about: dict[str, Any], folder: Path) -> dict[str, Any]:
    return about | {"ramps": str(folder / RAMPS), "run": str(folder)}
