"""What one run of the demo is asked to do. Frozen; checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.errors import UsageError
from darktime.split.sampling import sampled

if TYPE_CHECKING:
    from pathlib import Path

SALT = "demo"
MOST_VISITORS = 4000  # each costs four open files in nginx; 20,000 a process is a common hard limit
SHORTEST_PHASE_S = 1.0  # in less nobody writes enough for a fault to be drawn
LONGEST_S = 3600.0  # the agent's lease ends by then


def uid(number: int) -> str:
    """The cookie of the visitor of that number."""
    return f"visitor-{number:05d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Times in seconds, rates a second. ``production`` and ``dark`` (HOST:PORT) name instances that are already there."""

    folder: Path
    visitors: int = 300
    percent: float = 10.0
    phase_s: float = 10.0
    blast_s: float = 10.0
    seed: int = 1
    threads: int = 10
    writes_per_s: float = 20.0
    listen: str | None = None
    production: str | None = None
    dark: str | None = None
    nginx: str | None = None
    redis: str | None = None
    opening_delay_s: float = 5.0
    within_s: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot work."""
        if not 10 <= self.visitors <= MOST_VISITORS:  # noqa: PLR2004 - fewer make no crowd
            raise UsageError(f"--visitors {self.visitors}: between 10 and {MOST_VISITORS}, please")
        if not 0 < self.percent <= 100:  # noqa: PLR2004 - a percentage
            raise UsageError(f"--percent {self.percent:g}: more than 0 and at most 100, please")
        # Those who stay all along: the first ones leave between the phases.
        if not any(sampled(SALT, uid(number), self.percent) for number in range(self.swapped, self.visitors)):
            raise UsageError(
                f"--percent {self.percent:g} of --visitors {self.visitors} mirrors nobody who stays: raise one of them"
            )
        if not SHORTEST_PHASE_S <= self.phase_s <= LONGEST_S:
            raise UsageError(
                f"--phase-seconds {self.phase_s:g}: between {SHORTEST_PHASE_S:g} and {LONGEST_S:g}, please"
            )
        if not 0 <= self.blast_s <= LONGEST_S:
            raise UsageError(f"--blast-seconds {self.blast_s:g}: between 0 (no blast) and {LONGEST_S:g}, please")
        if self.within_s is not None and not 1 <= self.within_s <= LONGEST_S:
            raise UsageError(f"--within {self.within_s:g}: between 1 and {LONGEST_S:g} seconds, please")
        if (self.production is None) != (self.dark is None):
            raise UsageError(
                "--production and --dark go together: name both instances, or neither for the embedded ones"
            )
        if self.production is not None and self.production == self.dark:
            raise UsageError(f"--production and --dark are both {self.dark}: copies to production would hurt it")

    @property
    def swapped(self) -> int:
        """How many visitors leave and are replaced between the phases."""
        return max(1, self.visitors // 10)

    @property
    def external(self) -> bool:
        """Whether the two instances were there before us."""
        return self.production is not None
