"""The outcome of a verdict, and what is found on the way to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

Outcome = Literal["GO", "NO-GO", "WAIT"]
EXIT_CODES: Final[dict[Outcome, int]] = {"GO": 0, "NO-GO": 3, "WAIT": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome, the sentences that say why, and what a WAIT still needs. ``figures`` is JSON-able (verdict.v1.json)."""

    outcome: Outcome
    reasons: tuple[str, ...]
    needs: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, 3 or 5."""
        return EXIT_CODES[self.outcome]


@dataclass(slots=True)
class Findings:
    """What speaks against, what is not yet known, and what would tell."""

    against: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
