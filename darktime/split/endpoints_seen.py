"""What of each endpoint was compared, as a split's results keep it: bounded, the busiest first. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from darktime.split.verdict.coverage import covered
from darktime.split.verdict.settings import VerdictSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.split.compare import Pair

MOST: Final = 250


def endpoints_seen(
    pairs: Sequence[Pair], left: Mapping[str, Mapping[str, int]], settings: VerdictSettings | None = None
) -> dict[str, Any]:
    """Coverage by endpoint. ``left``: by endpoint and reason, the copies that were not compared.

    ``least``: the share of an endpoint's copies that a GO asks for, of those that are ``required``.
    """
    settings = settings or VerdictSettings()
    found = covered(((pair.endpoint, pair.user) for pair in pairs), left)
    return {
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
