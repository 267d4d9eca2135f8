"""``darktime status``: how a running split stands, redrawn on a terminal until Ctrl-C; once anywhere else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darktime.console.running import experiment_of, ledger_of, run_option

if TYPE_CHECKING:
    from darktime.split.snapshot import Snapshots

REDRAW_EVERY_S = 1.0


@click.command("status")
@run_option
@click.option("--once", is_flag=True, help="Show it once, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Once, for machines.")
def command(*, about: dict[str, Any], once: bool, as_json: bool) -> None:
    """Show what is mirrored, what became of the copies, the ledger, both sides' latency, and the verdict so far."""
    from rich.console import Console

    from darktime.split.snapshot import Snapshots

    snapshots = Snapshots(about, Path(about["run"]), experiment_of(about), ledger_of(about))
    if as_json:
        click.echo(json.dumps(snapshots.take()))
        return
    console = Console(highlight=False)
    if once or not console.is_terminal:
        from darktime.report.summaries import status

        click.echo("\n".join(status.tell(snapshots.take())))
        return
    _redraw(console, snapshots, Path(about["folder"]))


def _redraw(console: Any, snapshots: Snapshots, folder: Path) -> None:
    from rich.live import Live
    from rich.text import Text

    from darktime.report.summaries import status

    with Live(console=console, auto_refresh=False) as live:
        try:
            while folder.is_dir():
                lines = status.tell(snapshots.take(), console.width)
                text = Text("\n".join(lines), no_wrap=True, overflow="crop")
                text.highlight_regex(r"(?m)^[A-Z ]{4,11}(?= )", "dim")
                text.highlight_regex(r"KILLED|NO LEASE|NO-GO|open: \S+", "bold red")
                text.highlight_regex(r"\bGO:", "bold green")
                live.update(text, refresh=True)
                time.sleep(REDRAW_EVERY_S)
        except KeyboardInterrupt:
            return
    click.echo("the split has ended")
