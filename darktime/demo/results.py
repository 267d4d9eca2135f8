"""The results of a demo run as results.json holds them. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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
