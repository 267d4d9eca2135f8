"""The pieces a page is laid out of: tables, tiles, lists of ids, verdict cards, figures with their data beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report import ledger_words
from darktime.report.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_IDS = 200
MAX_ROWS = 600
_FOUR = 4
_TONES = {"GO": "good", "NO-GO": "bad", "WAIT": "wait"}


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, label: str, text: int = 1) -> Markup:
    """A table whose first ``text`` columns are words and whose others are figures, aligned on the right."""
    kinds = ["" if at < text else "n" for at in range(len(columns))]
    head = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)))
    body = [
        tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows[:MAX_ROWS]
    ]
    left = len(rows) - len(body)
    note = tag("p", f"{left:,} more rows are in results.json.", class_="note") if left > 0 else Markup("")
    whole = tag("table", tag("thead", head), tag("tbody", joined(body)))
    return tag("div", whole, note, class_="scroll", tabindex="0", role="region", aria_label=label)


def facts(rows: Sequence[tuple[str, object]], *, columns: int = 1) -> Markup:
    """Names with their values, one a line, in one column or two."""
    look = "facts two" if columns > 1 else "facts"
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows), class_=look)


def tile(name: str, value: str, note: str = "", *, tone: str = "") -> Markup:
    """One figure, large, with what it means above and where it comes from below."""
    return tag(
        "div",
        tag("dt", name),
        tag("dd", value, class_=f"value {tone}".strip()),
        tag("dd", note, class_="note"),
        class_="tile",
    )


def tiles(*each: Markup) -> Markup:
    """Figures side by side."""
    return tag("dl", *each, class_="tiles four" if len(each) == _FOUR else "tiles")


def ids(names: Sequence[str]) -> Markup:
    """Exact ids, each to be copied whole; past two hundred the rest is counted."""
    left = len(names) - MAX_IDS
    items = [tag("li", tag("code", name)) for name in names[:MAX_IDS]]
    if left > 0:
        items.append(tag("li", f"and {left:,} more, all in results.json", class_="note"))
    return tag("ul", *items, class_="ids")


def badge(word: str, tone: str) -> Markup:
    """A verdict in a word, with a sign beside the colour."""
    sign = {"good": "✓", "bad": "✗", "wait": "…"}[tone]
    return tag("span", tag("span", sign, aria_hidden="true"), " ", word, class_=f"badge {tone}")


def tone(outcome: str) -> str:
    """The colour of a verdict; an outcome that is not known is no good news."""
    return _TONES.get(outcome, "bad")


def verdict_card(
    title: str, verdict: Mapping[str, Any], hops: Sequence[Mapping[str, Any]], proof: Markup | None = None
) -> Markup:
    """A verdict, why it is so, and the exact ids that are off, at the hop where they are."""
    outcome = verdict["outcome"]
    lines: list[Markup] = (
        [tag("ul", *(tag("li", reason) for reason in verdict["reasons"]), class_="reasons")]
        if verdict["reasons"]
        else []
    )
    if verdict["needs"]:
        lines.append(tag("p", tag("strong", "Needs "), verdict["needs"]))
    off = [hop for hop in hops if not hop["balanced"]]
    if not off:
        lines.append(tag("p", f"Ledger: {ledger_words.summary(hops)}."))
    lines += [_off(hop) for hop in off]
    if proof is not None:
        lines.append(proof)
    head = tag("header", tag("h3", title), badge(outcome, tone(outcome)))
    return tag("article", head, *lines, class_=f"card {tone(outcome)}")


def _off(hop: Mapping[str, Any]) -> Markup:
    parts: list[Markup] = [
        tag("h4", tag("code", hop["hop"]), " ", tag("span", ledger_words.differences(hop), class_="off"))
    ]
    for word, items in (("missing", hop["missing"]), ("extra", hop["extra"])):
        if items:
            parts += [tag("h5", f"{ledger_words.total(items):,} {word}"), ids(ledger_words.names(items))]
    if hop["undecoded"]:
        parts.append(
            tag(
                "p",
                f"{hop['undecoded']:,} more could not be named: there were more differences than the table decodes.",
                class_="note",
            )
        )
    return tag("section", *parts, class_="hop")


def figure(title: str, text: str, drawn: Markup | None, data: Markup) -> Markup:
    """A chart with its title, what it shows, and its figures beneath; without a chart the figures stand open."""
    caption = tag("figcaption", tag("h3", title), tag("p", text))
    if drawn is None:
        return tag("figure", caption, data)
    details = tag("details", tag("summary", "The figures"), data)
    return tag(
        "figure", caption, tag("div", drawn, class_="chart", tabindex="0", role="group", aria_label=title), details
    )


def ledger_table(hops: Sequence[Mapping[str, Any]]) -> Markup:
    """Every hop's account."""
    rows = [
        (
            tag("code", hop["hop"]),
            fig.count(hop["sent"]),
            fig.count(hop["received"]),
            fig.count(sum(hop["explained"].values())),
            fig.count(ledger_words.total(hop["missing"])),
            fig.count(ledger_words.total(hop["extra"])),
            fig.count(hop["undecoded"]),
            tag("span", "✓ balanced" if hop["balanced"] else "✗ off", class_="good" if hop["balanced"] else "bad"),
        )
        for hop in hops
    ]
    return table(
        ("Hop", "Sent +1", "Received \N{MINUS SIGN}1", "Explained", "Missing", "Extra", "Undecoded", "Account"),
        rows,
        label="Ledger",
    )


def reasons_table(reasons: Mapping[str, int], *, label: str, name: str = "Reason") -> Markup:
    """Reasons with how often each was given, the most frequent first."""
    rows = [
        (tag("code", reason), fig.count(number))
        for reason, number in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return table((name, "Times"), rows, label=label)


def latency_table(latency: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Percentiles of both sides."""
    rows = [
        (
            side,
            *(fig.ms(latency[side][f"{p}_ms"]) for p in ("p50", "p95", "p99")),
            fig.count(latency[side]["pairs"]),
        )
        for side in ("production", "dark")
    ]
    return table(("Side", "p50", "p95", "p99", "Pairs"), rows, label="Latency")
