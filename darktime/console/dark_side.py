"""The options that say where copies go: one dark instance or several, by HTTP or HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.dark_side import DarkSide

OPTIONS = (
    click.option(
        "--dark",
        multiple=True,
        metavar="URL",
        help="The new code: http(s)://HOST:PORT. Several share the users, each user's copies go to one.",
    ),
    click.option(
        "--dark-cacert",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="https: the CA to trust, in place of this machine's.",
    ),
    click.option("--dark-insecure", is_flag=True, help="https: verify no certificate."),
    click.option(
        "--dark-connections", type=int, default=64, metavar="N", help="Copies that each instance may have under way."
    ),
)


def dark_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def side_of(asked: dict[str, Any]) -> DarkSide | None:
    """The dark side that was asked for; None where copies are only recorded. Raises UsageError."""
    if not asked["dark"]:
        return None
    from darktime.split.dark_side import dark_side, tls_context

    cacert = asked["dark_cacert"]
    side = dark_side(
        asked["dark"],
        cacert=None if cacert is None else cacert.resolve(),
        insecure=asked["dark_insecure"],
        connections=asked["dark_connections"],
    )
    tls_context(side)  # a file that holds no certificate is said before anything starts
    return side
