"""A run second by second, in as many points as a page can hold. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_POINTS = 600


def thinned(series: Sequence[Mapping[str, Any]], keys: Sequence[str], most: int = MAX_POINTS) -> list[dict[str, Any]]:
    """At most ``most`` points; of each bucket the highest figures stay, so that no peak is smoothed away."""
    step = -(-len(series) // most) or 1
    buckets = [series[at : at + step] for at in range(0, len(series), step)]
    return [{"t": bucket[0]["t"], **{key: highest(bucket, key) for key in keys}} for bucket in buckets]


def highest(rows: Sequence[Mapping[str, Any]], key: str) -> Any:
    """The highest of a column, or None where nothing was measured."""
    return max((row[key] for row in rows if row.get(key) is not None), default=None)


def measured(series: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a column holds anything but zeros: a line along the bottom tells nobody anything."""
    return bool(highest(series, key))
