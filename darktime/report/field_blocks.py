"""The tables of answers compared by content: reported fields, masked ones, all others, and events of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import field_words, parts
from darktime.report import figures as fig
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS = ("Endpoint", "Field", "How", "Raw", "Noise", "Of")


def content(results: Mapping[str, Any]) -> list[Markup]:
    """The tables; none where nothing was compared by content."""
    seen = results.get("comparison")
    if not seen:
        return []
    fields = results["fields"]
    found, masked, noisy = (pick(fields) for pick in (field_words.reported, field_words.masked, field_words.noisy))
    blocks = [
        tag("p", f"{field_words.summary(results)}."),
        tag(
            "p",
            "Raw: requests in which the dark answer differs from today's code. Noise: in which two answers of today's code do. "
            "A field is reported where its raw rate is above its noise rate by more than chance; a masked one "
            "differs by its nature.",
            class_="note",
        ),
    ]
    if found:
        blocks += [tag("h3", "Reported fields"), _reported(found)]
    if masked:
        rows = [(*_row(one)[:3], one["masked"], *_row(one)[3:]) for one in masked]
        columns = (*_COLUMNS[:3], "Masked, because", *_COLUMNS[3:])
        blocks += [tag("h3", "Masked fields"), parts.table(columns, rows, label="Masked fields", text=4)]
    if noisy:
        rows = [_row(one) for one in noisy]
        table = parts.table(_COLUMNS, rows, label="Other fields that differ", text=3)
        blocks += [tag("h3", "Other fields that differ"), table]
    if results["stream_pairs"]:
        blocks += [tag("h3", "Events of streams"), _streams(results["stream_pairs"])]
    return [*blocks, *_left(seen)]


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    where = (tag("code", one["endpoint"]), tag("code", one["path"]), field_words.kind(one))
    return (*where, *(fig.count(one[name]) for name in ("raw", "noise", "total")))


def _reported(found: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for one in found:
        shown = one["examples"][0] if one["examples"] else {"today": fig.NONE, "dark": fig.NONE}
        values = (tag("code", shown["today"]), tag("code", shown["dark"]))
        rows.append((*_row(one)[:3], *values, *_row(one)[3:]))
    columns = (*_COLUMNS[:3], "Today", "Dark", *_COLUMNS[3:])
    return parts.table(columns, rows, label="Reported fields", text=5)


def _streams(pairs: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for pair in pairs:
        cells = [f"{pair['raw'][kind]:,} (noise {pair['noise'][kind]:,})" for kind in field_words.STREAM_KINDS]
        examples = ", ".join(pair["raw"]["examples"]) or fig.NONE
        rows.append(
            (
                tag("code", pair["endpoint"]),
                examples,
                fig.count(pair["raw"]["pairs"]),
                fig.count(pair["raw"]["common"]),
                *cells,
            )
        )
    columns = ("Endpoint", "Examples", "Streams", "Events on both", "Missing", "Extra", "Doubled", "Out of order")
    return parts.table(columns, rows, label="Events of streams", text=2)


def _left(seen: Mapping[str, Any]) -> list[Markup]:
    left, unused = field_words.left(seen), field_words.never_used(seen)
    lines = [f"Not compared: {left}."] if left else []
    lines += [f"Rules that never matched: {', '.join(unused)}."] if unused else []
    failures = {reason: number for reason, number in seen["secondary_failures"].items() if number}
    blocks = [tag("p", one, class_="note") for one in lines]
    if failures:
        blocks += [
            tag("h3", "Failures of the secondary"),
            parts.reasons_table(failures, label="Failures of the secondary"),
        ]
    return blocks
