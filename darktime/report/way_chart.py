"""The way of copies as a ledger that is drawn: totals, and between them what left, each where the rest begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.bar_rows import Bar, bar_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.report.way import Step

_KINDS = {
    "total": ("counted", palette.RECEIVED),
    "left": ("left for a reason", palette.EXPLAINED),
    "open": ("still on its way", palette.PRODUCTION),
    "off": ("not explained", palette.WRONG),
}
_ANSWERED, _FAILED, _OPEN = "answered", "no answer", "not through"
MOST_INSTANCES = 20


def way(steps: Sequence[Step]) -> Any:
    """One row a step."""
    bars = [
        Bar(
            name=step.word,
            parts=((step.begins, step.ends, _KINDS[step.look][0]),),
            words=_words(step),
            strong=step.look == "total",
            wrong=step.look == "off" and step.count != 0,
        )
        for step in steps
    ]
    return bar_rows(bars, list(_KINDS.values()), top=max((step.ends for step in steps), default=1))


def _words(step: Step) -> str:
    number = fig.brief(abs(step.count))
    if step.look == "total" or not step.count:
        return number
    if step.look == "off":
        return f"{number} missing" if step.count > 0 else f"{number} too many"
    return ("\N{MINUS SIGN}" if step.count > 0 else "+") + number


def instances(seen: Sequence[Mapping[str, Any]]) -> Any:
    """What each dark instance was sent: answered, without an answer, not through when this was read."""
    bars = []
    for one in seen[:MOST_INSTANCES]:
        answered, failed = one["answered"], sum(one["failures"].values())
        sent = max(one["submitted"], answered + failed)
        parts = ((0, answered, _ANSWERED), (answered, answered + failed, _FAILED), (answered + failed, sent, _OPEN))
        bars.append(Bar(name=one["dark"], parts=parts, words=f"{fig.brief(answered)} of {fig.brief(sent)} answered"))
    kinds = [(_ANSWERED, palette.RECEIVED), (_FAILED, palette.EXPLAINED), (_OPEN, palette.PRODUCTION)]
    return bar_rows(bars, kinds, top=max((bar.parts[-1][1] for bar in bars), default=1))
