"""What a verdict says on a terminal: the outcome, why, what a WAIT needs, then what was seen, endpoint by endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_COLUMNS, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REASONS = 12
_ROWS = 20
_NAMES = 6
_LINES = 4  # of a sentence
_NAME = 22
_COLUMNS = ("pairs", "users", "cover", "errors", "p95 ms", "difference ms", "may be")
_WIDTHS = (9, 7, 6, 8, 10, 16, 7)


def tell(verdict: Mapping[str, Any]) -> list[str]:
    """Lines of at most 96 columns."""
    lines = [
        row("VERDICT", verdict["outcome"], verdict["run"]),
        *_sentences("REASONS", verdict["reasons"]),
        *(_sentences("NEEDS", verdict["needs"].split("; ")) if verdict["needs"] else []),
        row(
            "SEEN",
            f"{fig.count(verdict['pairs'])} pairs of {fig.count(verdict['users'])} users",
            f"look {verdict['look']}: GO and NO-GO err in {verdict['alpha']:.2%} of cases each",
        ),
        row("", f"users of whom every request fails may be {verdict['unseen_users']:.2%} of all, and none was seen")
        if verdict["users"] and not verdict["errors"]["worse"]
        else "",
        _share("ERRORS", verdict["errors"], verdict["settings"]["error_margin"]),
        _share("DIFFERENT", verdict["differences"], verdict["settings"]["difference_margin"]),
        *_endpoints(verdict["endpoints"]),
    ]
    return [fig.clipped(line, MAX_COLUMNS) for line in lines if line]


def _sentences(label: str, sentences: Sequence[str]) -> list[str]:
    lines = [line for one in sentences[:_REASONS] for line in wrapped("", one, lines=_LINES)]
    if len(sentences) > _REASONS:
        lines.append(row("", f"… and {len(sentences) - _REASONS} more (--json has all)"))
    return [row(label, lines[0].strip()), *lines[1:]] if lines else []


def _share(label: str, share: Mapping[str, Any], margin: float) -> str:
    return row(
        label,
        f"{fig.count(share['worse'])} of {fig.count(share['count'])} dark only",
        f"{fig.count(share['better'])} production only",
        f"{share['low']:+.2%} to {share['high']:+.2%}",
        f"{margin:.2%} may be",
    )


def _endpoints(endpoints: Sequence[Mapping[str, Any]]) -> list[str]:
    judged = [one for one in endpoints if one["latency"]]
    left = [one["endpoint"] for one in endpoints if not one["latency"]]
    lines = [row("ENDPOINTS", _line("", _COLUMNS))] if judged else []
    lines += [row("", _line(one["endpoint"], _cells(one))) for one in judged[:_ROWS]]
    if len(judged) > _ROWS:
        lines.append(row("", f"… and {len(judged) - _ROWS} more (--json has all)"))
    if left:
        more = f" and {len(left) - _NAMES} more" if len(left) > _NAMES else ""
        lines += wrapped("NOT JUDGED", f"too little of them was seen: {', '.join(left[:_NAMES])}{more}")
    return lines


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    seen = one["latency"]
    return (
        fig.count(one["pairs"]),
        fig.count(one["users"]),
        f"{one['coverage']:.0%}",
        f"{one['errors_production']:,}/{one['errors_dark']:,}",
        f"{_short(seen['production_p95_ms'])}/{_short(seen['dark_p95_ms'])}",
        f"{_bound(seen, 'excess_low_ms')} to {_bound(seen, 'excess_high_ms')}",
        f"{seen['allowed_ms']:+.1f}",
    )


def _bound(seen: Mapping[str, Any], which: str) -> str:
    """A bound of the difference itself: what is in excess, and what is allowed."""
    bound = seen[which]
    return "?" if bound is None else f"{bound + seen['allowed_ms']:+.{1 if abs(bound) < 1000 else 0}f}"  # noqa: PLR2004


def _short(ms: float) -> str:
    return f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"  # noqa: PLR2004


def _line(name: str, cells: Sequence[str]) -> str:
    figures = "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"{fig.clipped(name, _NAME - 1):<{_NAME}}{figures}"
