"""``darktime kill``: ends all mirroring of a running split with the next request, on every host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from darktime.console.running import steering_options
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from darktime.split.steering import Steering


@click.command("kill")
@steering_options
@click.option("--resume", is_flag=True, help="Take the kill file away again.")
@click.option("--why", default="", help="Goes into the record.")
def command(*, steerings: list[Steering], resume: bool, why: str) -> int:
    """End all mirroring at once. A file: nginx looks for it, whether or not a process of ours is alive.

    Where several splits have been left here, and none is named, all of them are killed.
    """
    undone = []
    for steering in steerings:
        failed = steering.kill(killed=not resume, why=why)
        if steering.file is not None:
            done = (
                "removed {}: mirroring goes on" if resume else "made {}: nothing is mirrored from the next request on"
            )
            click.echo(done.format(steering.file) + (", on this host" if failed else ""))
        elif not failed:
            click.echo("mirroring goes on, on every host" if resume else "nothing is mirrored any more, on any host")
        undone += [failed] if failed else []
    for one in undone:
        click.echo(one, err=True)
    return int(ExitCode.USAGE if undone else ExitCode.OK)
