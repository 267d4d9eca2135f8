"""``darktime ramp``: changes the percentage of a running split, without a reload, and records it."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path

import click

from darktime.console.running import run_option


@click.command("ramp")
@click.argument("percent", type=float)
@run_option
@click.option("--why", default="", help="Goes into the record.")
def command(*, percent: float, about: dict[str, object], why: str) -> None:
    """Mirror exactly PERCENT of the users from the next request on; 0 mirrors nobody."""
    from darktime.split import levels

    folder, most = Path(str(about["folder"])), float(str(about["max_percent"]))
    before = levels.percent_of(folder)
    levels.set_percent(folder, percent, most)
    record = {"at": time.time(), "who": getpass.getuser(), "from": before, "to": percent, "why": why}
    with Path(str(about["ramps"])).open("a", encoding="utf-8") as ramps:
        ramps.write(json.dumps(record) + "\n")
    click.echo(f"{before:g} % -> {percent:g} % (at most {most:g} %)")
