"""Answers compared by content on a page: the ledger of fields, by endpoint and field, and events of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import field_words, parts
from darktime.report import figures as fig
from darktime.report.drawing import svg
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS = ("Endpoint", "Field", "How", "Raw", "Noise", "Of", "Raw, at least", "Noise, at most")
_WORDS = 3  # columns of words
_COUNTED = 6  # columns before the bounds, by which nothing masked is judged


def content(results: Mapping[str, Any]) -> list[Markup]:
    """The blocks; none where nothing was compared by content."""
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
            "A field is reported where its raw rate is above its noise rate by more than chance, which is where the one's lower "
            "bound is above the other's upper bound; a masked one differs by its nature.",
            class_="note",
        ),
    ]
    drawn = _drawn(fields)
    if drawn is not None:
        blocks.append(drawn)
    if fields or seen["totals"]:
        blocks += [tag("h3", "Endpoint by endpoint"), _endpoints(seen["totals"], fields)]
    if found:
        blocks += [tag("h3", "Reported fields"), _reported(found), tag("h3", "Examples"), _examples(found)]
    if masked:
        rows = [(*_row(one)[:_WORDS], one["masked"], *_row(one)[_WORDS:_COUNTED]) for one in masked]
        columns = (*_COLUMNS[:_WORDS], "Masked, because", *_COLUMNS[_WORDS:_COUNTED])
        blocks += [tag("h3", "Masked fields"), parts.table(columns, rows, label="Masked fields", text=_WORDS + 1)]
    if noisy:
        rows = [_row(one) for one in noisy]
        table = parts.table(_COLUMNS, rows, label="Other fields that differ", text=_WORDS)
        blocks += [tag("h3", "Other fields that differ"), table]
    if results["stream_pairs"]:
        blocks += [tag("h3", "Events of streams"), _streams(results["stream_pairs"])]
    return [*blocks, *_rules(seen), *_left(seen)]


def _drawn(fields: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The fields whose bounds are known, as they are sorted: reported ones first."""
    known = [one for one in fields if one.get("raw_low") is not None and one["total"] and not one["masked"]]
    if not known:
        return None
    title = "Raw rate against noise rate"
    text = "A field is reported (✗) where its upper span begins to the right of where its lower one ends. Masked ones are left out."
    described = "; ".join(
        f"{one['endpoint']} {one['path']}: {field_words.rates(one)}{', reported' if one['reported'] else ''}"
        for one in known
    )
    drawn = svg(
        lambda charts: charts.fields(known), name="fields", title=title, description=fig.clipped(described, 600)
    )
    data = parts.table(_COLUMNS, [_row(one) for one in known], label=title, text=_WORDS)
    return parts.figure(title, text, drawn, data)


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    where = (tag("code", one["endpoint"]), tag("code", one["path"]), field_words.kind(one))
    counts = (fig.count(one[name]) for name in ("raw", "noise", "total"))
    return (*where, *counts, *(field_words.bound(one.get(name)) for name in ("raw_low", "noise_high")))


def _endpoints(totals: Mapping[str, int], fields: Sequence[Mapping[str, Any]]) -> Markup:
    """Of each endpoint how many requests were compared, and how many of its fields are what."""
    rows = []
    for name in dict.fromkeys((*sorted(totals, key=lambda one: -totals[one]), *(one["endpoint"] for one in fields))):
        own = [one for one in fields if one["endpoint"] == name]
        picks = (field_words.reported, field_words.masked, field_words.noisy)
        rows.append((tag("code", name), fig.count(totals.get(name)), *(fig.count(len(pick(own))) for pick in picks)))
    columns = ("Endpoint", "Requests compared", "Fields reported", "Masked", "Others that differ")
    return parts.table(columns, rows, label="Fields by endpoint")


def _reported(found: Sequence[Mapping[str, Any]]) -> Markup:
    return parts.table(_COLUMNS, [_row(one) for one in found], label="Reported fields", text=_WORDS)


def _examples(found: Sequence[Mapping[str, Any]]) -> Markup:
    """Both values of up to three requests a field, and which requests those were."""
    rows = []
    for one in found:
        where = (tag("code", one["endpoint"]), tag("code", one["path"]))
        shown = one["examples"] or [{"today": fig.NONE, "dark": fig.NONE, "request_id": fig.NONE}]
        for at, each in enumerate(shown):
            values = (tag("code", each[name]) for name in ("today", "dark", "request_id"))
            rows.append((*(where if not at else ("", "")), *values))
    return parts.table(("Endpoint", "Field", "Today", "Dark", "Request"), rows, label="Examples", text=5)


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


def _rules(seen: Mapping[str, Any]) -> list[Markup]:
    """Every ignore rule with how many answers it left something out of; one that never matched may be mistyped."""
    if not seen["rules"]:
        return []
    rows = [
        (tag("code", rule), "matched" if times else tag("span", "✗ never matched", class_="bad"), fig.count(times))
        for rule, times in sorted(seen["rules"].items(), key=lambda one: -one[1])
    ]
    return [tag("h3", "Ignore rules"), parts.table(("Rule", "", "Answers"), rows, label="Ignore rules", text=2)]


def _left(seen: Mapping[str, Any]) -> list[Markup]:
    left, unused = field_words.left(seen), field_words.never_used(seen)
    lines = [f"Not compared: {left}."] if left else []
    lines += [f"Rules that never matched: {', '.join(unused)}."] if unused else []
    unread = ", ".join(f"{times:,} {why}" for why, times in seen["unread"].items() if times)
    lines += [f"Compared by digest and length alone: {unread}."] if unread else []
    failures = {reason: number for reason, number in seen["secondary_failures"].items() if number}
    blocks = [tag("p", one, class_="note") for one in lines]
    if failures:
        blocks += [
            tag("h3", "Failures of the secondary"),
            parts.reasons_table(failures, label="Failures of the secondary"),
        ]
    return blocks
