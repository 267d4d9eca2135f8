"""A ramp by a plan: each percentage is held, and left for the next only when the verdict over its own pairs says GO. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.split.sampling import buckets_for

if TYPE_CHECKING:
    from darktime.split.verdict import Verdict

LEAST_HOLD_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``percents`` in turn, each for ``hold_s`` seconds at least. Raises UsageError for what is none."""

    percents: tuple[float, ...]
    hold_s: float

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for percent in self.percents:
            if buckets_for(percent) == 0:
                raise UsageError(f"--ramp: {percent:g} percent is nobody; begin above 0, in steps of 0.1")
        if not self.percents or list(self.percents) != sorted(set(self.percents)):
            raise UsageError(
                f"--ramp {','.join(f'{one:g}' for one in self.percents)}: rising percentages, as in 1,5,25,50"
            )
        if not self.hold_s >= LEAST_HOLD_S:
            raise UsageError(f"--hold {self.hold_s:g} s: {LEAST_HOLD_S:g} s at least, please; minutes make more sense")


def read_schedule(text: str, hold_s: float) -> Schedule:
    """Read ``1,5,25,50``. Raises UsageError."""
    try:
        percents = tuple(float(one) for one in text.split(","))
    except ValueError as error:
        raise UsageError(f"--ramp {text!r}: percentages with commas between them, as in 1,5,25,50") from error
    return Schedule(percents=percents, hold_s=hold_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a verdict. ``percent``: mirror so much from now on; None: as before. ``over``: why it ends, or empty."""

    percent: float | None = None
    over: str = ""
    said: str = ""


class Pilot:
    """Asks for a verdict in the middle of a hold, at its end, and as often again while it is WAIT. Times are monotonic."""

    def __init__(self, schedule: Schedule, now: float) -> None:
        self._schedule = schedule
        self._stage = 0
        self._began = self._judged = now
        self.looks = 0  # how many verdicts were asked for, this one included

    @property
    def percent(self) -> float:
        """What is mirrored now."""
        return self._schedule.percents[self._stage]

    def due(self, now: float) -> bool:
        """Whether a verdict is wanted now."""
        if now < self._judged + self._schedule.hold_s / 2:
            return False
        self.looks += 1
        self._judged = now
        return True

    def decide(self, verdict: Verdict, now: float) -> Decision:
        """What to do after it."""
        at = f"{self.percent:g} %"
        if verdict.outcome == "NO-GO":
            why = "; ".join(verdict.reasons)
            return Decision(
                percent=0.0, over=f"NO-GO at {at}: {why}", said=f"NO-GO at {at}, nobody is mirrored any more: {why}"
            )
        if now < self._began + self._schedule.hold_s:
            return Decision(said=f"{verdict.outcome} so far at {at}")
        if verdict.outcome == "WAIT":
            return Decision(said=f"WAIT at {at}, so it stays there: {verdict.needs or '; '.join(verdict.reasons)}")
        if self._stage + 1 == len(self._schedule.percents):
            return Decision(over=f"the ramp is through: GO at {at}", said=f"GO at {at}")
        self._stage += 1
        self._began = now
        return Decision(percent=self.percent, said=f"GO at {at}: {self.percent:g} % from now on")
