"""``darktime who``: whether a user is sampled, and from which percentage on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from darktime.console.running import run_option
from darktime.errors import UsageError


@click.command("who")
@click.argument("user")
@run_option
def command(*, user: str, about: dict[str, Any]) -> None:
    """Say in which bucket USER is, and from which percentage on it is mirrored."""
    from darktime.split import levels
    from darktime.split.sampling import bucket

    found, folder = bucket(str(about["salt"]), user), Path(str(about["folder"]))
    if found is None:
        raise UsageError(f"{user!r} is no user: 1 to 128 letters, digits, _ . : or -; such a request is never mirrored")
    percent = levels.percent_of(folder)
    inside = found < round(percent * 10)
    said = f"{user}: bucket {found} of 1000, mirrored from {(found + 1) / 10:g} % on; at {percent:g} % it "
    if levels.listed(folder, levels.NEVER, user):
        said += "is not: it is on the list of those who never are"
    elif levels.listed(folder, levels.ONLY, user) is False:
        said += "is not: it is not on the list of those who alone are"
    else:
        said += "is" if inside else "is not"
    if about.get("only"):
        said += f" (requests with {', '.join(about['only'])} alone)"
    if levels.killed(folder):
        said += "; the kill file stands, so nobody is"
    click.echo(said)
