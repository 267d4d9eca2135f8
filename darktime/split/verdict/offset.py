"""What the measuring itself adds to dark's p95, from pairs in which both sides ran the same code; or why nobody knows. Pure.

A second instance of today's code that is broken is slow or fast for a reason of its own: what it answers with is no measure
of the measuring, and taken off it would forgive new code its slowness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from darktime.split.verdict import slower
from darktime.split.verdict.clusters import Interval, Levels
from darktime.split.verdict.coverage import few
from darktime.split.verdict.exact import lower_limit
from darktime.split.verdict.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from darktime.split.compare import Pair
    from darktime.split.verdict.settings import VerdictSettings
    from darktime.split.verdict.slower import Times

FAILED: Final = "calibration_failed"  # copies to which the second instance gave no answer at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """``taken``: seconds to be taken off, None where there is none. ``why``: words for that. ``broken``: it cannot be trusted."""

    taken: Interval | None = None
    why: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Calibration:
    """Pairs of the same code, and by endpoint how many copies of it the second instance did not answer."""

    table: Table
    unanswered: Mapping[str, int]

    @classmethod
    def of(cls, pairs: Sequence[Pair], left: Mapping[str, Mapping[str, int]]) -> Self:
        """From the pairs, and from what left by endpoint and reason."""
        unanswered = {name: reasons[FAILED] for name, reasons in left.items() if reasons.get(FAILED)}
        return cls(Table.of(pairs), unanswered)

    def offset(self, endpoint: str, settings: VerdictSettings, at: Levels) -> Offset:
        """What an endpoint's pairs of the same code say: only those in which neither side failed and nothing differs.

        It is broken where more of them failed or differ than ``error_margin`` allows; one that did so by chance is forgiven, as
        everywhere else: the share's lower bound counts.
        """
        table, lost = self.table, self.unanswered.get(endpoint, 0)
        if not table.endpoints and not self.unanswered:
            return Offset()
        number = table.endpoints.index(endpoint) if endpoint in table.endpoints else -1
        rows = table.rows(number)
        failed = table.failed[0][rows] | table.failed[1][rows]
        good = rows[~failed & ~table.differs[rows]]
        # Where production failed alone, the second instance did nothing wrong; the pair is of no use all the same.
        bad = int((table.worse[rows] | table.differs[rows]).sum()) + lost
        count = len(rows) + lost
        if lower_limit(bad, count, 1 - settings.confidence) > settings.error_margin:
            why = f"{bad:,} of {count:,} pairs of the same code failed or differ ({bad / count:.1%})"
            return Offset(why=why, broken=True)
        scarce = Offset(why="too few pairs of the same code")
        if len(good) < settings.min_pairs_an_endpoint:
            return scarce
        strict = Levels(low=min(at.low, at.high), high=min(at.low, at.high))  # each bound widens the other side's
        found = slower.excess(times_of(table, good), strict, ratio=1.0, slack_s=0.0)
        return Offset(taken=found) if math.isfinite(found.low) and math.isfinite(found.high) else scarce


def times_of(table: Table, rows: NDArray[np.intp]) -> Times:
    """The times of some rows."""
    return slower.Times.of(table.production[rows], table.dark[rows], table.owners(rows), at=table.at[rows])


def calibrated(found: Interval, offset: Interval) -> Interval:
    """One less the other, both uncertain: Zou and Donner, Statistics in Medicine 27 (2008)."""
    value = found.value - offset.value
    return Interval(
        value=value,
        low=value - math.hypot(found.value - found.low, offset.high - offset.value),
        high=value + math.hypot(found.high - found.value, offset.value - offset.low),
    )


def taken_off(offsets_ms: Mapping[str, float]) -> str:
    """The sentence that names what was taken off, by endpoint; empty where nothing was."""
    if not offsets_ms:
        return ""
    told = [f"{endpoint} {ms:+.1f} ms" for endpoint, ms in offsets_ms.items()]
    return f"taken off dark's p95, as the same code was measured: {few(told)}"
