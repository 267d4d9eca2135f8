"""What of each endpoint was compared, as a split's results keep it: bounded, the busiest first. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.split.verdict.coverage import covered, lost, together
from darktime.split.verdict.settings import VerdictSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.compare import Pair

MOST: Final = 250


def endpoints_seen(
    pairs: Sequence[Pair],
    left: Mapping[str, Mapping[str, int]],
    settings: VerdictSettings | None = None,
    *,
    never_came: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Coverage by endpoint. ``left``: by endpoint and reason, the copies that were not compared.

    ``least``: the share of an endpoint's copies that a GO asks for, of those that are ``required``; and of all ``together``,
    where copies that ``never_came`` to the relay count too: of which endpoint they were nobody knows.
    """
    settings = settings or VerdictSettings()
    found = covered(((pair.endpoint, pair.user) for pair in pairs), left)
    never_came = {reason: times for reason, times in (never_came or {}).items() if times}
    short = sum(lost(reasons) for reasons in (*left.values(), never_came))
    return {
        "together": {"coverage": together(len(pairs), short), "never_came": never_came},
        "least": settings.coverage,
        "endpoints": [
            {
                "endpoint": one.endpoint,
                **one.figures(),
                "required": one.required(settings),
                "left": {reason: times for reason, times in one.left.items() if times},
            }
            for one in found[:MOST]
        ],
        "left_out": max(len(found) - MOST, 0),
    }
