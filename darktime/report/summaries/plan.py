"""What a plan says on a terminal: users and copies first, then which key, what speaks against copying, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darktime.report import figures as fig
from darktime.report.lines import MAX_COLUMNS, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = 6
_ROWS = 10
_RISKS = 6
_HEAVY = 0.05  # of the requests: such a user should be known of


def tell(plan: Mapping[str, Any]) -> list[str]:
    """Lines of at most 96 columns."""
    lines = [
        row(
            "LOG",
            f"{fig.count(plan['requests'])} requests in {fig.duration(plan['span_s'])}",
            f"{plan['per_s']:,.1f} a second, {fig.count(plan['peak_per_s'])} at the most",
            f"{fig.count(plan['left_out'])} not read" if plan["left_out"] else "",
        ),
        *_expected(plan),
        *_keys(plan["keys"], plan["key"]),
        *_endpoints(plan["endpoints"], plan["requests"]),
        *_unsafe([risk for risk in plan["unsafe"] if not risk["excluded"]]),
        *_secrets(plan["secrets"]),
    ]
    excluded = sum(risk["times"] for risk in plan["unsafe"] if risk["excluded"])
    if excluded:
        lines.append(row("EXCLUDED", f"{fig.count(excluded)} GETs of paths that are left out by default"))
    return [fig.clipped(line, MAX_COLUMNS) for line in lines]


def tell_change(change: Mapping[str, Any]) -> list[str]:
    """How nginx would change and how that is taken back. The lines of the diff and the commands are whole, however long."""
    which = change["config"] or "an example; --nginx-conf FILE shows yours"
    writes = f"'split --emit {fig.visible(change['folder'])}' writes it"
    lines = [row("NGINX", fig.visible(which), writes)]
    # A tab is the file's own indentation; what else a terminal would obey is shown.
    lines += ["\t".join(fig.visible(part) for part in line.split("\t")) for line in change["diff"].split("\n")]
    commands = (
        ("make it", change["make"]),
        ("take it back", change["take_back"]),
        ("end it at once", change["end_at_once"]),
        ("or", "darktime kill, darktime ramp 0: no reload, as the line before"),
    )
    return [*lines, *(f"{what:<16}{fig.visible(command)}" for what, command in commands)]


def _expected(plan: Mapping[str, Any]) -> list[str]:
    share = fig.percent(plan["percent"])
    if plan["key"] is None:
        return wrapped("USERS", "no key of this log would serve: see below why, and log the cookie or header that does")
    refused = ", ".join(f"{fig.count(times)} by {why}" for why, times in plan["refused"][:3])
    return [
        row(
            "USERS",
            f"{fig.count(plan['sampled_users'])} of {fig.count(plan['users'])} are in at {share}",
            f"key {plan['key']}",
        ),
        row(
            "COPIES",
            f"{fig.count(plan['copies'])}: {plan['copies_per_s']:,.2f} a second, "
            f"{fig.count(plan['peak_copies_per_s'])} at the most",
            f"not made: {refused}" if refused else "",
        ),
    ]


def _keys(keys: Sequence[Mapping[str, Any]], chosen: str | None) -> list[str]:
    lines = [row("KEYS", f"{'':<2}{'':<24}{'carried':>8}{'users':>10}{'each':>8}")] if keys else []
    for key in keys[:_KEYS]:
        users = f"{fig.count(key['users'])}{'+' if key['more_users'] else ''}"
        mark = "→" if key["name"] == chosen else "✗" if key["why_not"] else "✓"
        figures = f"{key['share']:>8.1%}{users:>10}{key['requests_a_user']:>8.1f}"
        words = key["why_not"] or (
            f"one user makes {key['largest_share']:.0%}" if key["largest_share"] > _HEAVY else ""
        )
        lines.append(row("", f"{mark} {fig.clipped(key['name'], 23):<24}{figures}  {words}".rstrip()))
    if len(keys) > _KEYS:
        lines.append(row("", f"… and {len(keys) - _KEYS} more (--json has all)"))
    return lines


def _endpoints(rows: Sequence[Mapping[str, Any]], requests: int) -> list[str]:
    lines = [row("ENDPOINTS", f"{'':<40}{'requests':>10}{'share':>8}{'copies':>8}  methods")]
    for one in rows[:_ROWS]:
        figures = f"{fig.count(one['requests']):>10}{one['requests'] / requests:>8.1%}{fig.count(one['copies']):>8}"
        lines.append(row("", f"{fig.clipped(one['endpoint'], 39):<40}{figures}  {' '.join(one['methods'][:3])}"))
    if len(rows) > _ROWS:
        rest = sum(one["requests"] for one in rows[_ROWS:])
        lines.append(row("", f"{f'… {len(rows) - _ROWS} more':<40}{fig.count(rest):>10}{rest / requests:>8.1%}"))
    return lines


def _unsafe(risks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not risks:
        return []
    lines = [row("UNSAFE?", "GETs whose path says that they do something; --exclude WORD leaves them out")]
    told = (f"{fig.count(risk['times']):>9}  {risk['what']:<12}{risk['example']}" for risk in risks[:_RISKS])
    return [*lines, *(row("", one) for one in told), *_more(risks)]


def _secrets(risks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not risks:
        return []
    lines = [
        row("SECRETS?", "in URLs; a copy carries a mark in place of every query value that is not allowed by name")
    ]
    for risk in risks[:_RISKS]:
        what = f"{risk['what']}, {risk['example']}"
        lines.append(row("", f"{fig.count(risk['times']):>9}  {fig.clipped(what, 48):<49}{risk['endpoint']}"))
    return [*lines, *_more(risks)]


def _more(risks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row("", f"… and {len(risks) - _RISKS} more kinds (--json has all)")] if len(risks) > _RISKS else []
