"""The results of a demo run as results.json holds them. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA_VERSION = 1


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float | int | None]:
    """p50, p95 and p99 in milliseconds, and of how many."""
    ordered = sorted(seconds)
    figures: dict[str, float | int | None] = {
        f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1000 if ordered else None
        for share in (50, 95, 99)
    }
    return figures | {"pairs": len(ordered)}


def pair_lines(text: str) -> list[dict[str, Any]]:
    """The pairs in a part of the relay's file; a line that is still being written is left for the next reading."""
    whole, newline, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()] if newline else []


def copies_of(relay: Mapping[str, Any]) -> dict[str, Any]:
    """What became of the copies, from the relay's state."""
    return {
        "offered": relay.get("offered", 0),
        "received": relay.get("received", 0),
        "compared": relay.get("compared", 0),
        "reasons": {reason: count for reason, count in relay.get("reasons", {}).items() if count},
    }


def traffic_of(visitors: Mapping[str, Any], relay: Mapping[str, Any]) -> dict[str, Any]:
    """What the visitors did and got, from their state and the relay's."""
    return {
        "requests": visitors.get("requests", 0),
        "errors": visitors.get("errors", 0) + visitors.get("broken_streams", 0),
        "comments": visitors.get("comments", {"created": 0, "edited": 0, "deleted": 0}),
        "streams": len(visitors.get("seen", [])),
        "deliveries": {"production": visitors.get("deliveries", 0), "dark": relay.get("events", 0)},
    }
