"""What a recording says on a terminal: whole or not, what is in it, and what became of the rest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_COLUMNS, MAX_LINES, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping


def tell(results: Mapping[str, Any]) -> list[str]:
    """At most 25 lines of at most 96 columns."""
    copies, recording = results["copies"], results["recording"]
    lost = Counter(copies["reasons"]) + Counter(copies["never_came"])
    lines = [
        row(
            "RECORDED", "everything that was sampled" if results["outcome"] == "whole" else "a part of what was sampled"
        ),
        *(line for reason in results["reasons"][:4] for line in wrapped("", reason)),
        row(
            "FILE",
            f"{fig.count(recording['requests'])} requests, {fig.count(recording['answers'])} with production's answer",
            fig.size(recording["bytes"]),
            f"ended by itself: {recording['stopped']}" if recording["stopped"] else "",
        ),
        row("", recording["file"]),
        row(
            "COPIES",
            f"{fig.count(copies['offered'])} sampled",
            f"{fig.count(copies['received'])} came",
            f"{fig.count(copies['recorded'])} recorded",
            f"{fig.count(copies['open'])} not ended by production yet" if copies["open"] else "",
        ),
        *wrapped("LEFT", ", ".join(f"{fig.count(times)} {reason}" for reason, times in lost.items())),
        *(
            row("LEDGER" if not at else "", f"{'✓' if hop['accounted'] else '✗'} {hop['hop']}", _hop(hop))
            for at, hop in enumerate(results["ledger"])
        ),
    ]
    return [fig.clipped(line, MAX_COLUMNS) for line in lines[:MAX_LINES]]


def _hop(hop: Mapping[str, Any]) -> str:
    return f"{fig.count(hop['sent'])} out, {fig.count(hop['received'])} in"
