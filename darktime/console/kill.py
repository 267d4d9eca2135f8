"""``darktime kill``: ends all mirroring of a running split with the next request, on every host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from darktime.console.running import steering_options

if TYPE_CHECKING:
    from darktime.split.steering import Steering


@click.command("kill")
@steering_options
@click.option("--resume", is_flag=True, help="Take the kill file away again.")
def command(*, steering: Steering, resume: bool) -> None:
    """End all mirroring at once. A file: nginx looks for it, whether or not a process of ours is alive."""
    undone = steering.kill(killed=not resume)
    if steering.file is None:
        click.echo("mirroring goes on, on every host" if resume else "nothing is mirrored any more, on any host")
    elif resume:
        click.echo(f"removed {steering.file}: mirroring goes on")
    else:
        click.echo(f"made {steering.file}: nothing is mirrored from the next request on")
    if undone:
        click.echo(undone, err=True)
