"""``darktime init``: writes a settings file to start from."""

from __future__ import annotations

from pathlib import Path

import click

from darktime.console.configuration import TEMPLATE


@click.command("init")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(*, force: bool) -> None:
    """Write darktime.toml into the current folder."""
    path = Path("darktime.toml")
    try:
        if path.exists() and not force:
            raise click.UsageError(f"{path} is there already; --force writes over it")
        path.write_text(TEMPLATE, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}; run it in a folder that you may write") from error
    click.echo(f"wrote {path}: set production and dark, then run 'darktime split --percent 5'")
