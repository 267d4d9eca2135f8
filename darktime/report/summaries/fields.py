"""What a split's summary says of answers compared by content: fields that differ, masked ones by name, what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import field_words
from darktime.report import figures as fig
from darktime.report.lines import row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPORTED = 3


def tell(results: Mapping[str, Any]) -> list[str]:
    """At most ten lines; none where nothing was compared by content."""
    seen = results.get("comparison")
    if not seen:
        return []
    fields = results["fields"]
    found, masked = field_words.reported(fields), field_words.masked(fields)
    lines = [row("FIELDS", field_words.summary(results))]
    lines += [_field(one) for one in found[:_REPORTED]]
    if len(found) > _REPORTED:
        lines.append(row("", f"… and {len(found) - _REPORTED} more (--json has all)"))
    if masked:
        names = ", ".join(f"{one['endpoint']} {one['path']} ({one['value_class']})" for one in masked)
        lines += wrapped("MASKED", f"{len(masked)}: {names}")
    lines += _streams(results)
    left, unused = field_words.left(seen), field_words.never_used(seen)
    if left:
        lines.append(row("", f"not compared: {left}"))
    if unused:
        lines.append(row("", f"rules that never matched: {', '.join(unused)}"))
    return lines


def _field(one: Mapping[str, Any]) -> str:
    where = fig.clipped(f"{one['endpoint']} {one['path']}", 32)
    return row("", f"✗ {where:<32} {field_words.kind(one)}", field_words.rates(one), field_words.example(one))


def _streams(results: Mapping[str, Any]) -> list[str]:
    pairs = results["stream_pairs"]
    if not pairs:
        return []
    events = sum(pair["raw"]["common"] for pair in pairs)
    found = []
    for kind in field_words.STREAM_KINDS:
        raw, noise = (sum(pair[side][kind] for pair in pairs) for side in ("raw", "noise"))
        if raw or noise:
            found.append(f"{raw:,} {kind.replace('_', ' ')} (noise {noise:,})")
    return [row("STREAMS", f"{fig.count(events)} events on both sides", ", ".join(found) or "none lost or doubled")]
