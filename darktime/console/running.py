"""The option by which ``ramp``, ``kill`` and ``who`` find the split that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.folders import RUNS
from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

ABOUT = "split.json"


def run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--run DIR``; the command gets what describes that split as ``about``."""
    return click.option(
        "--run",
        "about",
        type=click.Path(path_type=Path, file_okay=False),
        callback=find_running,
        help="The split's results folder; the newest in runs/ when left out.",
    )(command)


def find_running(_ctx: click.Context, _param: click.Parameter, folder: Path | None) -> dict[str, Any]:
    """What describes the running split in that folder, or in the newest. Raises UsageError."""
    from darktime.split.running import find

    if folder is None:
        runs = sorted(RUNS.glob(f"*/{ABOUT}"))
        if not runs:
            raise UsageError(f"no split runs here (none in {RUNS.resolve()}): name its results folder with --run DIR")
        folder = runs[-1].parent
    return find(folder / ABOUT) | {"ramps": str(folder / "ramps.jsonl")}
