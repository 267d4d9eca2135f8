"""The labelled lines that every summary is made of, and how much of a terminal a summary may take."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LINES = 25
_MOST_RAMPS = 12
MAX_COLUMNS = 96
LABEL = 11


def row(label: str, *parts: str) -> str:
    """One labelled line; empty parts are left out."""
    return f"{label:<{LABEL}}" + " · ".join(part for part in parts if part)


def wrapped(label: str, sentence: str, *, lines: int = 2) -> list[str]:
    """A sentence over at most two lines: it is what the run was made for."""
    cut = textwrap.wrap(fig.visible(sentence), MAX_COLUMNS - LABEL, max_lines=lines, placeholder=" …")
    return [row("" if at else label, line) for at, line in enumerate(cut)]


def ramps_line(ramps: Sequence[Mapping[str, Any]]) -> str:
    """The last percentages that stood, one after the other, and kills among them."""
    told = ("killed" if ramp.get("what") == "kill" else f"{ramp['to']:g}" for ramp in ramps[-_MOST_RAMPS:])
    return row("RAMPS", " → ".join(told) + " %")


def dotted(label: str, mark: str, text: str, seen: str, *, columns: int) -> str:
    """A mark, a text and what was seen of it, with dots between them that lead the eye."""
    text = fig.clipped(text, columns)
    dots = "." * max(columns + 3 - len(text), 3)
    return row(label, f"{mark} {text} {dots} {seen}")
