"""Records that only grow: numbers, counts by name and histograms, added up field by field. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

from darktime.blast.histogram import Histogram

# Names in a record are a closed list in practice (reasons are ours); the bound is for what is not foreseen.
MAX_NAMES = 50
OTHER = "other"


class Sums:
    """Base of dataclasses whose fields are int, float, ``dict[str, int]`` or Histogram, each of which can be added."""

    __slots__ = ()

    def merge(self, other: Self) -> None:
        """Add another's figures to these."""
        for field in fields(self):  # type: ignore[arg-type] # subclasses are dataclasses
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, Histogram):
                mine.merge(theirs)
            elif isinstance(mine, dict):
                for name, times in theirs.items():
                    add(mine, name, times)
            else:
                setattr(self, field.name, mine + theirs)

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        saved = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Histogram):
                value = value.to_dict()
            saved[field.name] = dict(value) if isinstance(value, dict) else value
        return saved

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """What ``to_dict`` gave; a field that a version before did not have stays empty."""
        sums = cls()
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name in saved:
                value = saved[field.name]
                is_histogram = isinstance(getattr(sums, field.name), Histogram)
                setattr(sums, field.name, Histogram.from_dict(value) if is_histogram else value)
        return sums


def add(counts: dict[str, int], name: str, times: int = 1) -> None:
    """Count under ``name``; past the bound under "other"."""
    if name not in counts and len(counts) >= MAX_NAMES:
        name = OTHER
    counts[name] = counts.get(name, 0) + times
