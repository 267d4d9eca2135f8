"""What a run tells whoever watches it: steps and figures. The console draws them; nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Figures:
    """The numbers on the live screen; the run updates them, a few times a second."""

    visitors: int = 0
    streams: int = 0
    sampled: int = 0
    held: int = 0
    requests: int = 0
    errors: int = 0
    comments: int = 0
    delivered: int = 0
    delivered_dark: int = 0
    copies: int = 0
    compared: int = 0
    p99_ms: float | None = None
    incidents: list[str] = field(default_factory=list)


class Show(Protocol):
    """Where a run reports to."""

    figures: Figures

    def step(self, text: str) -> None:
        """A new step begins; the one before it is done."""

    def note(self, text: str) -> None:
        """Something worth a line: a result, an incident."""

    def refresh(self) -> None:
        """The figures have changed."""
