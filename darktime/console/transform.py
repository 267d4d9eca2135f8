"""``--transform MODULE:FUNCTION``: checked before anything starts; and what is said of it while copies go through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from darktime.report.figures import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def transform_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--transform``."""
    return click.option(
        "--transform",
        metavar="MODULE:FUNCTION",
        help="Your function that each copy goes through: it may rewrite it, or drop it.",
    )(command)


def check_transform(named: str | None) -> None:
    """Raise UsageError where it could not be called: it is imported here, as the relay will import it."""
    if named is not None:
        from darktime.split.relay.transforming import load

        load(named)


class TransformRemarks:
    """``look`` says, once each, the first error of the function, and that it takes long. ``say`` takes a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._failed = self._slow = False

    def look(self, state: Mapping[str, Any]) -> None:
        """Say what is new in a relay's state."""
        told = state.get("transform")
        if told is None:
            return
        if told["first_error"] and not self._failed:
            self._failed = True
            self._say(f"{told['function']} failed; such copies are dropped as transform_failed. The first time:")
            for line in told["first_error"].splitlines():
                self._say(f"  {visible(line)}")
        if told["slow"] and not self._slow:
            self._slow = True
            self._say(
                f"SLOW: {told['function']} took {told['max_ms']:,.0f} ms for one copy; the relay stands still meanwhile, and "
                "copies are lost to nginx's sink: at most 10 ms, please, and no I/O"
            )
