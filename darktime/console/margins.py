"""The margins that a verdict is judged by: flags, and the table [verdict] of darktime.toml, which a split judges by too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.verdict import VerdictSettings

# Flag, of what kind, what it means. What is left out is what VerdictSettings says.
MARGINS: dict[str, tuple[type, str]] = {
    "latency_ratio": (float, "Dark's p95 may be so many times production's, of each endpoint ...  [default: 1.1]"),
    "latency_slack_ms": (float, "... and so many milliseconds more.  [default: 5]"),
    "error_margin": (float, "So large a share of requests may fail more often: 0.001 is 0.1 %.  [default: 0.001]"),
    "difference_margin": (float, "So large a share of answers may differ.  [default: 0.001]"),
    "confidence": (float, "1 less what all looks together may err with, in GO and NO-GO each.  [default: 0.95]"),
    "min_pairs": (int, "Fewer pairs are a WAIT.  [default: 200]"),
    "min_users": (int, "Fewer users are a WAIT.  [default: 20]"),
    "min_pairs_an_endpoint": (int, "An endpoint with fewer pairs is not judged.  [default: 20]"),
    "min_users_an_endpoint": (int, "An endpoint with fewer users is not judged.  [default: 10]"),
    "coverage": (float, "The share of an endpoint's copies that must have been compared.  [default: 0.9]"),
    "small_endpoint": (float, "An endpoint with less of the traffic is not asked for.  [default: 0.01]"),
    "likeness": (
        float,
        "How alike one user's failures are while too few were seen: 1, he fails always or never.  [default: 0.05]",
    ),
}


def margin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds a flag for each margin; the command gets them by name, None where left out."""
    for name, (kind, meaning) in reversed(MARGINS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=meaning)(command)
    return command


def margins_of_file(context: click.Context) -> dict[str, Any]:
    """What stands in [verdict] of darktime.toml, for a command that judges and has no flags for it."""
    tables = context.find_root().default_map or {}
    return {name: value for name, value in tables.get("verdict", {}).items() if name in MARGINS}


def settings_of(margins: dict[str, Any]) -> VerdictSettings:
    """The settings that some margins make. Raises UsageError for one that is out of its range."""
    from darktime.split.verdict import VerdictSettings

    given = {name: value for name, value in margins.items() if name in MARGINS and value is not None}
    slack_ms = given.pop("latency_slack_ms", None)
    if slack_ms is not None:
        given["latency_slack_s"] = slack_ms / 1000
    return VerdictSettings(**given)
