"""What a user's own function did with the copies, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import row

if TYPE_CHECKING:
    from collections.abc import Mapping


def lines(told: Mapping[str, Any] | None) -> list[str]:
    """A line for it, and one for its first error; nothing where there was no function."""
    if not told:
        return []
    slow = f"{fig.count(told['slow'])} beyond 10 ms" if told["slow"] else ""
    done = (f"{fig.count(told[what])} {what}" for what in ("rewritten", "dropped", "failed"))
    said = [row("TRANSFORM", told["function"], *done, f"p99 {fig.ms(told['p99_ms'])}", slow)]
    return [*said, row("", f"first error: {last_line(told['first_error'])}")] if told["first_error"] else said


def last_line(text: str) -> str:
    """Of a traceback: the error."""
    return text.strip().rpartition("\n")[2]
