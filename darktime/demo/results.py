"""The results of a demo run as results.json holds them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1


def traffic_of(visitors: Mapping[str, Any], relay: Mapping[str, Any]) -> dict[str, Any]:
    """What the visitors did and got, from their state and the relay's."""
    return {
        "requests": visitors.get("requests", 0),
        "errors": visitors.get("errors", 0) + visitors.get("broken_streams", 0),
        "comments": visitors.get("comments", {"created": 0, "edited": 0, "deleted": 0}),
        "streams": len(visitors.get("seen", [])),
        "deliveries": {"production": visitors.get("deliveries", 0), "dark": relay.get("events", 0)},
    }
