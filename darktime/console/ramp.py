"""``darktime ramp``: changes the percentage of a running split on every host, without a reload, and records it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from darktime.console.running import steering_options
from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.split.steering import Steering


@click.command("ramp")
@click.argument("percent", type=float)
@steering_options
@click.option("--why", default="", help="Goes into the record.")
def command(*, percent: float, steerings: list[Steering], why: str) -> None:
    """Mirror exactly PERCENT of the users from the next request on; 0 mirrors nobody."""
    if len(steerings) > 1:
        raise UsageError("several splits run here: name one with --run DIR")
    (steering,) = steerings
    before = steering.ramp(percent, why=why)
    click.echo(f"{before:g} % -> {percent:g} % (at most {steering.most_percent():g} %)")
