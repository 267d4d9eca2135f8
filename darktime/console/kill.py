"""``darktime kill``: ends all mirroring of a running split with the next request."""

from __future__ import annotations

from pathlib import Path

import click

from darktime.console.running import run_option


@click.command("kill")
@run_option
@click.option("--resume", is_flag=True, help="Take the kill file away again.")
def command(*, about: dict[str, object], resume: bool) -> None:
    """End all mirroring at once. A file: nginx looks for it, whether or not a process of ours is alive."""
    from darktime.split import levels

    folder = Path(str(about["folder"]))
    if resume:
        levels.resume(folder)
        click.echo(f"removed {folder / 'kill'}: mirroring goes on")
    else:
        levels.kill(folder)
        click.echo(f"made {folder / 'kill'}: nothing is mirrored from the next request on")
