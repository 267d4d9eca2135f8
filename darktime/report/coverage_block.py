"""Coverage on a page: of each endpoint what was compared, and why the rest was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.report import figures as fig
from darktime.report import parts
from darktime.report.drawing import svg
from darktime.report.markup import Markup, tag

if TYPE_CHECKING:
    from darktime.report.kinds import Results


def coverage(results: Results) -> Markup | None:
    """Of each endpoint the share of its copies that was compared; None of results that do not say."""
    seen = results.get("endpoints_seen")
    if not seen or not seen["endpoints"]:
        return None
    title = "Coverage, endpoint by endpoint"
    text = (
        f"The share of each endpoint's copies that was compared; a GO asks for {fig.share(seen['least'])} of every endpoint "
        "that is not small. The twenty busiest are drawn. What the dark instance failed at is an error, and not against coverage."
    )
    found = seen["endpoints"]
    described = "; ".join(f"{one['endpoint']}: {fig.share(one['coverage'])}" for one in found[:20])
    drawn = svg(lambda charts: charts.coverage(seen), name="coverage", title=title, description=described)
    rows = [
        (
            tag("code", one["endpoint"]),
            _asked(one["coverage"], seen["least"], required=one["required"]),
            ", ".join(f"{fig.count(times)} {reason}" for reason, times in one["left"].items()) or fig.NONE,
            fig.share(one["coverage"]),
            fig.count(one["pairs"]),
            fig.count(one["users"]),
            fig.share(one["traffic"]),
        )
        for one in found
    ]
    columns = ("Endpoint", "For a GO", "Left without a comparison", "Coverage", "Pairs", "Users", "Of all copies")
    table = parts.table(columns, rows, label=title, text=3)
    more = seen["left_out"]
    note = tag("p", f"{fig.count(more)} smaller endpoints are not kept.", class_="note") if more else Markup("")
    return parts.figure(title, text, drawn, tag("div", _together(seen), table, note))


def _together(seen: Results) -> Markup:
    """What nobody knows the endpoint of counts too, and is said."""
    whole = seen.get("together")
    if whole is None:
        return Markup("")
    never_came = ", ".join(f"{fig.count(times)} {reason}" for reason, times in whole["never_came"].items())
    lost = f" Never came to the relay, of whatever endpoint: {never_came}." if never_came else ""
    told = f" of all copies together were compared.{lost}"
    asked = _asked(whole["coverage"], seen["least"], required=True)
    return tag("p", tag("strong", fig.share(whole["coverage"])), told, " ", asked)


def _asked(share: float, least: float, *, required: bool) -> Markup:
    if not required:
        return tag("span", "too small to be asked for")
    enough = share >= least
    return tag("span", "✓ enough" if enough else "✗ too few", class_="good" if enough else "bad")
