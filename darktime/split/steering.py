"""Changes what a running split mirrors: the percentage, the kill file; here, and by Redis on every host. Each ramp is recorded."""

from __future__ import annotations

import getpass
import json
import os
import time
from typing import TYPE_CHECKING, Any

from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.experiment import away, ramp_record

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.experiment import Experiment

REMEDY = "'darktime kill' and the kill file work without it, on this host"


class Steering:
    """Of one split. ``folder`` is None where no split runs on this host, ``experiment`` where no Redis is followed."""

    def __init__(
        self, *, folder: Path | None, max_percent: float, ramps: Path | None, experiment: Experiment | None
    ) -> None:
        self._folder = folder
        self._max_percent = max_percent
        self._ramps = ramps
        self._experiment = experiment

    def ramp(self, percent: float, *, why: str, who: str | None = None, expected: float | None = None) -> float:
        """Mirror exactly this percentage from the next request on; what it was. Raises UsageError, with nothing changed.

        ``expected``: only if it stands there still, and nobody has killed it.
        """
        who, now = who or whoami(), time.time()
        if self._experiment is not None:
            try:
                before = self._experiment.ramp(percent, who=who, why=why, now=now, expected=expected)
            except away() as error:
                raise UsageError(
                    f"the Redis of the experiment does not answer ({error}): nothing was changed; {REMEDY}"
                ) from error
        else:
            assert self._folder is not None
            before = levels.percent_of(self._folder)
        if self._folder is not None:
            # The agent does it too, half a second later at most.
            levels.set_percent(self._folder, min(percent, self._max_percent), self._max_percent)
        self._note(ramp_record(who=who, before=before, after=percent, why=why, now=now))
        return before

    def stop(self, why: str) -> None:
        """Mirror nobody from now on, on every host; where Redis does not answer, by the kill file on this one."""
        try:
            self.ramp(0.0, why=why, who="darktime split")
        except UsageError:
            self.kill()

    def kill(self, *, killed: bool = True) -> str:
        """Make the kill file, or take it away, here and on every host; what could not be done, or empty."""
        if self._folder is not None:
            (levels.kill if killed else levels.resume)(self._folder)
        if self._experiment is None:
            return ""
        try:
            self._experiment.set_killed(killed=killed)
        except UsageError as error:
            return f"other hosts were not told: {error}"
        except away() as error:
            return f"other hosts were not told: {error}"
        return ""

    @property
    def file(self) -> Path | None:
        """The kill file of this host; None where no split runs here."""
        return None if self._folder is None else self._folder / "kill"

    def most_percent(self) -> float:
        """What may be mirrored at most. Raises UsageError where Redis knows of no such experiment."""
        if self._experiment is None:
            return self._max_percent
        try:
            standing = self._experiment.standing()
        except away():
            return self._max_percent
        return self._max_percent if standing is None else standing.max_percent

    def _note(self, record: dict[str, Any]) -> None:
        if self._ramps is None:
            return
        try:
            with os.fdopen(os.open(self._ramps, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:  # the ramp is made; Redis has its record too
            import logging  # noqa: PLC0415 - as good as never

            logging.getLogger(__name__).warning("%s: %s", self._ramps, error)


def whoami() -> str:
    """Who ramps, for the record: his name on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
