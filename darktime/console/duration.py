"""How people write a time: 90, 90s, 10m, 1h or 1d; as flags, variables and ``darktime.toml`` take it, in seconds."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TEXT: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)([smhd]?)")
TAKEN: Final = "seconds, or a number with s, m, h or d, as in 90, 10m, 1h"


def seconds_of(told: float | str) -> float | None:
    """The seconds of what was written; None for what is no time: no number, below 0, without an end."""
    if isinstance(told, str):
        found = _TEXT.fullmatch(told.strip())
        if found is None:
            return None
        told = float(found[1]) * _UNITS_S[found[2]]
    return float(told) if math.isfinite(told) and told >= 0 else None


def read_time(told: float | str) -> float:
    """The seconds of an option's value. A plain number is taken as it is: each option knows its own limits.

    Raises click.BadParameter, which click gives the option's name.
    """
    try:
        return float(told)
    except ValueError:
        seconds = seconds_of(told)
    if seconds is None:
        raise click.BadParameter(f"{told!r} is no time: {TAKEN}")
    return seconds


def time_option(*names: str, default: float | None = None, help: str) -> Callable[..., Any]:  # noqa: A002 - click's name
    """An option that takes a time."""
    return click.option(*names, type=read_time, default=default, metavar="TIME", help=help)
