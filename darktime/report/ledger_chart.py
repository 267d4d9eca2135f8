"""The ledger as a chart: per hop what was sent against what arrived, and beside it what the two differ by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from darktime.report import figures as fig
from darktime.report import ledger_words, palette
from darktime.report.canvas import WIDTH, over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOP_HEIGHT = 46
_LABEL = 300
_APART = 24
_DIFFERENCES = 230
_BAR = 46  # the longest bar of a difference; its words stand beyond it
_CHARACTER = 7.2  # of a figure, in the widest of the usual fonts


def ledger(hops: Sequence[Mapping[str, Any]]) -> Any:
    """Per hop: what was sent against what was received or explained, and beside it what the two differ by."""
    order = [_hop(hop) for hop in hops]
    words = [_words(hop) for hop in hops]
    longest = max((len(word) for pair in words for word in pair), default=0)
    apart = max(_DIFFERENCES, 2 * (round(longest * _CHARACTER) + _BAR + 10))
    counts = _counts(hops, order, WIDTH - _extent(order) - _APART - apart)
    return alt.hconcat(counts, _differences(hops, order, apart), spacing=_APART).resolve_scale(color="independent")


def _hop(hop: Mapping[str, Any]) -> str:
    return fig.clipped(hop["hop"], 40)


def _extent(names: Sequence[str]) -> int:
    """Room for the longest name in any reader's font: the renderer measures its own, which may be narrower."""
    return min(_LABEL, 16 + max((round(8.3 * len(name)) for name in names), default=0))


def _words(hop: Mapping[str, Any]) -> tuple[str, str]:
    """What stands left and right of a hop's zero line."""
    missing, extra = ledger_words.total(hop["missing"]), ledger_words.total(hop["extra"])
    left = f"\N{MINUS SIGN}{fig.brief(missing)} missing" if missing else ""
    right = [f"+{fig.brief(extra)} extra"] if extra else []
    if hop["undecoded"]:
        right.append(f"{fig.brief(hop['undecoded'])} undecoded")
    return left, ", ".join(right) or ("0" if hop["balanced"] else "")


def _counts(hops: Sequence[Mapping[str, Any]], order: list[str], width: int) -> Any:
    kinds = ["sent", "received", "explained"]
    bars: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for hop in hops:
        name, explained = _hop(hop), sum(hop["explained"].values())
        bars += [
            {"hop": name, "bar": "a", "kind": "sent", "from": 0, "to": hop["sent"]},
            {"hop": name, "bar": "b", "kind": "received", "from": 0, "to": hop["received"]},
            {"hop": name, "bar": "b", "kind": "explained", "from": hop["received"], "to": hop["received"] + explained},
        ]
        arrived = fig.brief(hop["received"]) + (f" + {fig.brief(explained)} explained" if explained else "")
        texts += [
            {"hop": name, "bar": "a", "to": hop["sent"], "text": fig.brief(hop["sent"])},
            {"hop": name, "bar": "b", "to": hop["received"] + explained, "text": arrived},
        ]
    top = max((text["to"] for text in texts), default=1) or 1
    y = alt.Y(
        "hop:N",
        title=None,
        sort=order,
        axis=alt.Axis(labelFontSize=13, labelLimit=_LABEL, labelColor=palette.INK.light, minExtent=_extent(order)),
        scale=alt.Scale(paddingInner=0.42, paddingOuter=0.2),
    )
    # The longest bar ends where the figures at its end still fit.
    room = max(width - 12 - _CHARACTER * max((len(text["text"]) for text in texts), default=0), _BAR)
    x = alt.X("from:Q", title=None, axis=None, scale=alt.Scale(domain=[0, top * width / room], nice=False))
    drawn = (
        over(bars)
        .mark_bar(height=alt.RelativeBandSize(0.86))
        .encode(
            x=x,
            x2="to:Q",
            y=y,
            yOffset="bar:N",
            color=alt.Color(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(
                    domain=kinds, range=[palette.SENT.light, palette.RECEIVED.light, palette.EXPLAINED.light]
                ),
            ),
        )
    )
    written = (
        over(texts)
        .mark_text(align="left", dx=6, fontSize=11.5, color=palette.INK.light)
        .encode(x=alt.X("to:Q"), y=y, yOffset="bar:N", text="text:N")
    )
    return alt.layer(drawn, written).properties(width=width, height=_HOP_HEIGHT * max(len(hops), 1))


def _differences(hops: Sequence[Mapping[str, Any]], order: list[str], width: int) -> Any:
    rows: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for hop in hops:
        name, missing, extra = _hop(hop), ledger_words.total(hop["missing"]), ledger_words.total(hop["extra"])
        left, right = _words(hop)
        rows += [{"hop": name, "n": -missing}, {"hop": name, "n": extra}]
        texts += [
            {"hop": name, "n": -missing, "text": left, "at": "left"},
            {"hop": name, "n": extra, "text": right, "at": "zero" if hop["balanced"] else "right"},
        ]
    top = max((abs(row["n"]) for row in rows), default=1) or 1
    end = top * width / 2 / _BAR
    x = alt.X("n:Q", title=None, axis=None, scale=alt.Scale(domain=[-end, end], nice=False))
    y = alt.Y("hop:N", sort=order, axis=None, scale=alt.Scale(paddingInner=0.42, paddingOuter=0.2))
    axis = over([{"n": 0}]).mark_rule(color=palette.SENT.light).encode(x=x)
    bars = over(rows).mark_bar(height=alt.RelativeBandSize(0.5), color=palette.WRONG.light).encode(x=x, y=y)
    wrong, ink = palette.WRONG.light, palette.INK.light
    styles = {
        "left": {"align": "right", "dx": -5, "color": wrong},
        "right": {"align": "left", "dx": 5, "color": wrong},
        "zero": {"align": "left", "dx": 7, "color": ink},
    }
    labels = [
        over([text for text in texts if text["at"] == at])
        .mark_text(fontSize=11.5, **style)  # type: ignore[arg-type]
        .encode(x=x, y=y, text="text:N")
        for at, style in styles.items()
    ]
    return alt.layer(axis, bars, *labels).properties(width=width, height=_HOP_HEIGHT * max(len(hops), 1))
