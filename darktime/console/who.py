"""``darktime who``: whether a user is sampled, and from which percentage on."""

from __future__ import annotations

from pathlib import Path

import click

from darktime.console.running import run_option
from darktime.errors import UsageError


@click.command("who")
@click.argument("user")
@run_option
def command(*, user: str, about: dict[str, object]) -> None:
    """Say in which bucket USER is, and from which percentage on it is mirrored."""
    from darktime.split import levels
    from darktime.split.sampling import bucket

    found = bucket(str(about["salt"]), user)
    if found is None:
        raise UsageError(f"{user!r} is no user: 1 to 128 letters, digits, _ . : or -; such a request is never mirrored")
    percent = levels.percent_of(Path(str(about["folder"])))
    state = "is" if found < round(percent * 10) else "is not"
    click.echo(f"{user}: bucket {found} of 1000, mirrored from {(found + 1) / 10:g} % on; at {percent:g} % it {state}")
