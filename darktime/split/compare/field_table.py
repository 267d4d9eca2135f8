"""The field table: counts of differences by endpoint, field and kind, and which of them are more than noise. Pure.

Of each request three answers are known: two of today's code, whose differences are noise, and the dark one. A field is
reported where the lower bound of its raw rate lies above the upper bound of its noise rate. Both bounds are exact, and
each errs with probability 0.05 / (2 m), m being the fields looked at times the kinds of difference there are: one
look at the table reports a field without cause in at most one of twenty runs, however many fields there are. Whoever looks
more often while it grows, as a ramp's verdicts do, asks ``field_bounds.at`` by what each of these looks may spend.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from darktime.split.compare import bounds
from darktime.split.compare.difference import CHANGED, KINDS
from darktime.split.compare.finding import MOST_EXAMPLES, Example, FieldFinding, shown
from darktime.split.compare.value_class import NEEDED_NOISE, class_of, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from darktime.split.compare.difference import FieldDifference, Found

FALSE_ALARM: Final = 0.05
MOST_FIELDS: Final = 1_000
MOST_PATHS: Final = 5_000
TABLE_VERSION: Final = 1
_UNKNOWN: Final = "?"  # no values have been seen yet


@dataclass(slots=True)
class _Row:
    raw: int = 0
    noise: int = 0
    value_class: str = _UNKNOWN
    examples: list[Example] = field(default_factory=list)

    def see(self, difference: FieldDifference) -> None:
        """Keep the class that all differing values have."""
        if self.value_class:
            found = class_of(difference.one, difference.other) if difference.kind == CHANGED else ""
            self.value_class = found if self.value_class == _UNKNOWN else joined(self.value_class, found)


class FieldTable:
    """One accumulator; at most ``MOST_FIELDS`` rows. ``overflow`` counts differences that had no row left."""

    def __init__(self, *, seed: int = 1) -> None:
        self.totals: dict[str, int] = {}
        self.overflow = 0
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._paths: set[tuple[str, str]] = set()
        self._looked_at = 0  # of tables that were merged into this one
        self._draw = random.Random(seed)

    @property
    def looked_at(self) -> int:
        """Fields looked at: those of the bodies that were read for their names, and those that ever differed."""
        return self._looked_at + len(self._paths)

    def look_at(self, endpoint: str, paths: Iterable[str]) -> None:
        """These fields are compared: the chance of a false alarm is shared among all there are."""
        for path in paths:
            if len(self._paths) >= MOST_PATHS:
                return
            self._paths.add((endpoint, path))

    def add(self, endpoint: str, request_id: str, *, raw: Found, noise: Found) -> None:
        """Count one request: how the dark answer differs from today's, and how today's two differ."""
        self.totals[endpoint] = self.totals.get(endpoint, 0) + 1
        for one in raw.differences:
            row = self._row(endpoint, one)
            if row is not None:
                row.raw += 1
                row.see(one)
                self._keep(row, one, request_id)
        for one in noise.differences:
            row = self._row(endpoint, one)
            if row is not None:
                row.noise += 1
                row.see(one)

    def findings(self, most: int | None = None) -> list[FieldFinding]:
        """All fields that ever differed, at most ``most``: reported ones first, then masked ones, then by their counts."""
        error = FALSE_ALARM / (2 * max(1, self.looked_at * len(KINDS)))
        found = [self._finding(where, row, error) for where, row in self._rows.items()]
        found.sort(
            key=lambda one: (not one.reported, not one.masked, one.noise - one.raw, one.endpoint, one.path, one.kind)
        )
        return found[:most]

    def to_dict(self, most: int | None = None) -> dict[str, Any]:
        """The saved form; with ``most``, rows beyond that are counted as ``left_out``."""
        found = self.findings(most)
        return {
            "v": TABLE_VERSION,
            "totals": dict(self.totals),
            "looked_at": self.looked_at,
            "overflow": self.overflow,
            "left_out": len(self._rows) - len(found),
            "fields": [one.to_dict() for one in found],
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The table of a saved form. Raises ValueError for one of another version."""
        if saved.get("v") != TABLE_VERSION:
            raise ValueError(f"a field table of version {saved.get('v')!r}: this release reads {TABLE_VERSION}")
        table = cls()
        table.totals = dict(saved["totals"])
        table.overflow = saved["overflow"] + saved["left_out"]
        table._looked_at = saved["looked_at"]
        for record in saved["fields"]:
            one = FieldFinding.from_dict(record)
            table._rows[one.endpoint, one.path, one.kind] = _Row(
                raw=one.raw, noise=one.noise, value_class=one.value_class, examples=list(one.examples)
            )
        return table

    @classmethod
    def merged(cls, tables: Iterable[FieldTable]) -> Self:
        """The tables of several processes as one. Fields that several of them looked at count several times in the sharing."""
        whole = cls()
        for table in tables:
            whole._looked_at += table.looked_at
            whole.overflow += table.overflow
            for endpoint, total in table.totals.items():
                whole.totals[endpoint] = whole.totals.get(endpoint, 0) + total
            whole._take(table)
        return whole

    def _take(self, table: FieldTable) -> None:
        for where, row in table._rows.items():
            self._merge(where, row)

    def _merge(self, where: tuple[str, str, str], row: _Row) -> None:
        mine = self._rows.get(where)
        if mine is None:
            if len(self._rows) >= MOST_FIELDS:
                self.overflow += row.raw + row.noise
                return
            mine = self._rows[where] = _Row(value_class=row.value_class)
        mine.raw += row.raw
        mine.noise += row.noise
        mine.value_class = joined(mine.value_class, row.value_class)
        mine.examples = [*mine.examples, *row.examples][:MOST_EXAMPLES]

    def _row(self, endpoint: str, one: FieldDifference) -> _Row | None:
        where = (endpoint, one.path, one.kind)
        row = self._rows.get(where)
        if row is None:
            if len(self._rows) >= MOST_FIELDS:
                self.overflow += 1
                return None
            row = self._rows[where] = _Row()
            self.look_at(endpoint, (one.path,))
        return row

    def _keep(self, row: _Row, one: FieldDifference, request_id: str) -> None:
        """Any three of the raw differences, each with the same chance (a reservoir, Vitter 1985)."""
        place = len(row.examples) if len(row.examples) < MOST_EXAMPLES else self._draw.randrange(row.raw)
        if place < MOST_EXAMPLES:
            example = Example(request_id=request_id, today=shown(one.one), dark=shown(one.other))
            row.examples[place : place + 1] = [example]

    def _finding(self, where: tuple[str, str, str], row: _Row, error: float) -> FieldFinding:
        endpoint, path, kind = where
        total = self.totals[endpoint]
        masked = _mask(row)
        # What does not even stand out against the noise as it was seen needs no bound of it.
        more = bounds.above(row.raw, total, row.noise / total, error) and bounds.above(
            row.raw, total, bounds.upper(row.noise, total, error), error
        )
        return FieldFinding(
            endpoint=endpoint,
            path=path,
            kind=kind,
            raw=row.raw,
            noise=row.noise,
            total=total,
            reported=more and not masked,
            masked=masked,
            value_class=row.value_class.strip(_UNKNOWN),
            examples=tuple(row.examples),
        )


def _mask(row: _Row) -> str:
    """Why a difference is one of nature: all values are of such a class, and today's code differs from itself in them."""
    needed = NEEDED_NOISE.get(row.value_class)
    if needed is None or not row.noise or row.noise < needed * row.raw:
        return ""
    return f"{row.value_class}: differs between two answers of today's code too ({row.noise:,} times)"
