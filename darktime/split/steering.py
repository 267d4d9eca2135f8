"""Changes what a running split mirrors: the percentage, the kill file; here, and by Redis on every host. Each is recorded."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import time
from typing import TYPE_CHECKING, Any

from darktime.errors import UsageError
from darktime.split import levels
from darktime.split.experiment import RESUME, away, kill_record, ramp_record

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.experiment import Experiment

NEW_S = 1.0
UNKNOWN = "somebody"  # a file that has gone does not say whose hand it was
BY_HAND = "the kill file, by hand"
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
        self._killed: str | None = None  # what stands in the kill file, as it was noticed last

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
            self.kill(why=why, who="darktime split")

    def kill(self, *, killed: bool = True, why: str = "", who: str | None = None) -> str:
        """Make the kill file, or take it away, here and on every host; what could not be done, or empty."""
        change, now = False, time.time()
        if self._folder is not None:
            change = levels.killed(self._folder) != killed
            if killed:  # first of all, whatever fails then
                levels.kill(self._folder, by=levels.BY_COMMAND)
        who = who or whoami()
        if change:
            self._note(kill_record(killed=killed, who=who, percent=self._stands(), why=why, now=now))
        if (
            self._folder is not None and not killed
        ):  # once it is recorded: who notices that the file has gone looks there
            levels.resume(self._folder)
        if self._experiment is None:
            return ""
        try:
            self._experiment.set_killed(killed=killed, who=who, why=why, now=now)
        except UsageError as error:
            return f"other hosts were not told: {error}"
        except away() as error:
            return f"other hosts were not told: {error}"
        return ""

    def _stands(self) -> float:
        try:
            return 0.0 if self._folder is None else levels.percent_of(self._folder)
        except OSError:  # of a folder that cannot be listed: a kill needs it for its record alone
            return 0.0

    def notice(self, *, last: bool = False) -> dict[str, Any] | None:
        """The record of a kill file that somebody made by hand, or took away so, since it was looked for last.

        One that is new and empty is looked at again later: a command writes into it next.
        ``last``: there is no later.
        """
        if self._folder is None:
            return None
        file, percent = self._folder / "kill", self._stands()
        stands, before = levels.killed_by(self._folder), self._killed
        if stands == before or (stands == "" and not last and time.time() - _made(file) < NEW_S):
            return None
        self._killed = stands
        if stands is None:
            if before == levels.BY_AGENT or self._last().get("what") == RESUME:
                return None
            record = kill_record(killed=False, who=UNKNOWN, percent=percent, why=BY_HAND, now=time.time())
        elif stands in (levels.BY_AGENT, levels.BY_COMMAND):
            return None
        else:
            record = kill_record(killed=True, who=_owner(file), percent=percent, why=BY_HAND, now=time.time())
        self._note(record)
        return record

    def _last(self) -> dict[str, Any]:
        if self._ramps is None or not self._ramps.exists():
            return {}
        try:
            lines = self._ramps.read_text(encoding="utf-8").splitlines()
            last: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        except (OSError, ValueError):  # what a full disk left of one
            return {}
        return last

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
        except OSError as error:  # the change is made; Redis has its record too
            import logging  # noqa: PLC0415 - as good as never

            logging.getLogger(__name__).warning("%s: %s", self._ramps, error)


def whoami() -> str:
    """Who ramps, for the record: his name on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _made(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _owner(file: Path) -> str:
    """Whose file it is: as good as who made it."""
    try:
        uid = file.stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return ""
    except KeyError:
        return str(uid)
