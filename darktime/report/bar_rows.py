"""Rows of bars: a name, its figure in words, and right of them what is drawn of it; a narrow screen shows the words first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import palette
from darktime.report.canvas import WIDTH, over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.report.palette import Colour

_CHARACTER = 7.6  # of a name or a figure, in the widest of the usual fonts
_NAMES = 340
_NAME_CELLS = 42
_WORD_CELLS = 44
_LEAST = 0.004  # of the whole: what is there is seen
_STEP = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row: ``parts`` are (from, to, kind), ``words`` its figure. ``strong``: a total; ``wrong``: a figure that alarms."""

    name: str
    parts: tuple[tuple[float, float, str], ...]
    words: str = ""
    strong: bool = False
    wrong: bool = False


def bar_rows(
    bars: Sequence[Bar], kinds: Sequence[tuple[str, Colour]], *, top: float, limit: tuple[float, str] | None = None
) -> Any:
    """The rows on one scale up to ``top``. ``kinds``: each with its colour; ``limit``: a line that is named, on that scale."""
    top = top or 1.0
    names = [fig.clipped(bar.name, _NAME_CELLS) for bar in bars]
    words = [fig.clipped(bar.words, _WORD_CELLS) for bar in bars]
    left = min(_NAMES, 20 + round(_CHARACTER * max((len(name) for name in names), default=0)))
    drawn = left + 12 + round(_CHARACTER * max((len(word) for word in words), default=0))
    x = alt.X("from:Q", axis=None, title=None, scale=alt.Scale(domain=[0, top], range=[drawn, WIDTH - 10]))
    y = alt.Y("row:O", axis=None, title=None, scale=alt.Scale(domain=list(range(len(bars))), paddingInner=0.25))
    parts = [
        {"row": at, "from": begins, "to": max(ends, begins + top * _LEAST), "kind": kind}
        for at, bar in enumerate(bars)
        for begins, ends, kind in bar.parts
        if ends > begins
    ]
    used = [kind for kind in kinds if any(part["kind"] == kind[0] for part in parts)]
    colour = alt.Color(
        "kind:N",
        sort=[word for word, _ in used],
        scale=alt.Scale(domain=[word for word, _ in used], range=[shade.light for _, shade in used]),
        legend=alt.Legend(title=None) if len(used) > 1 else None,
    )
    layers = [over(parts).mark_bar(aria=False).encode(x=x, x2="to:Q", y=y, color=colour)]
    for strong, weight in ((True, "bold"), (False, "normal")):
        some = [{"row": at, "text": names[at]} for at, bar in enumerate(bars) if bar.strong is strong]
        mark = over(some).mark_text(align="right", fontSize=12.5, fontWeight=weight, color=palette.INK.light)  # type: ignore[arg-type]
        layers.append(mark.encode(x=alt.value(left - 12), y=y, text="text:N"))
    for wrong, shade in ((True, palette.WRONG), (False, palette.INK)):
        told = [{"row": at, "text": words[at]} for at, bar in enumerate(bars) if bar.wrong is wrong]
        mark = over(told).mark_text(align="right", fontSize=12, color=shade.light)
        layers.append(mark.encode(x=alt.value(drawn - 12), y=y, text="text:N"))
    if limit is not None:
        at, word = limit
        rule = over([{"from": at}]).mark_rule(color=palette.INK.light, strokeDash=[4, 3]).encode(x=x)
        name = over([{"from": at, "text": word}]).mark_text(dy=-9, fontSize=11.5, color=palette.MUTED.light)
        layers += [rule, name.encode(x=x, y=alt.value(0), text="text:N")]
    return alt.layer(*layers).properties(width=WIDTH, height=_STEP * max(len(bars), 1))
