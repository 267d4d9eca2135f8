"""Errors and differences: by how much more often the dark side is worse, over all requests and endpoint by endpoint. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from darktime.split.verdict.clusters import difference_of
from darktime.split.verdict.exact import mcnemar
from darktime.split.verdict.looks import levels
from darktime.split.verdict.needs import need, times_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from darktime.split.verdict.clusters import Counts, Difference, Levels
    from darktime.split.verdict.outcome import Findings
    from darktime.split.verdict.settings import VerdictSettings
    from darktime.split.verdict.table import Flags, Table

# Half of what a family may err with in a NO-GO is for all requests together, half is shared out among the endpoints.
HALVES: Final = 2.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted, and what is said of it. ``named`` says what it was in some rows: the endpoint, how, which ids."""

    margin: float
    words: str  # of how many
    what: str  # "the share of errors"
    worse: Flags
    better: Flags
    failures: int  # known to be worse, of nobody knows whom
    named: Callable[[NDArray[np.intp]], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What was counted of some rows: how many, of how many requests and users, and the difference."""

    worse: int
    better: int
    count: int
    users: int
    difference: Difference

    def figures(self, at: Levels) -> dict[str, Any]:
        """As the JSON has it."""
        bounds = self.difference.interval(at)
        return {
            "worse": self.worse,
            "better": self.better,
            "count": self.count,
            "difference": bounds.value,
            "low": bounds.low,
            "high": bounds.high,
            "p": mcnemar(self.worse, self.better),
        }


def outcome(difference: Difference, at: Levels, margin: float, times: float = 1.0) -> int:
    """1: beyond the margin, -1: within it, 0: cannot be told; of ``times`` as many users of the same kind."""
    if difference.value < margin:
        return -1 if difference.high(at.high, times) < margin else 0
    return 1 if difference.low(at.low, times) > margin else 0


def judge_shares(
    table: Table, endpoints: Sequence[int], kind: Kind, *, settings: VerdictSettings, look: int, findings: Findings
) -> dict[str, Any]:
    """Judge all requests together, for and against; and each endpoint, against only. Returns the figures of all together.

    An endpoint of 2 % of the traffic of which 4 % fails is 0.08 % more errors: within the margin, and no GO.
    """
    every = np.arange(len(table.owner))
    whole = count(table, every, kind, settings.likeness, kind.failures)
    at = levels(settings.confidence, look, HALVES)
    figures = whole.figures(at)
    if not whole.count:
        return figures
    if _harm(figures, kind.margin, at):
        findings.against.append(
            f"{whole.worse:,} of {whole.count:,} {kind.words}: {figures['low']:.2%} at least, "
            f"{kind.margin:.2%} may be; {kind.named(every)}"
        )
        return figures
    hurt = _endpoints(table, endpoints, kind, settings=settings, look=look, findings=findings)
    if not hurt and figures["high"] >= kind.margin:
        seen = f"; {kind.named(every)}" if whole.worse else ""
        findings.unsure.append(
            f"{whole.worse:,} of {whole.count:,} {kind.words}: {figures['high']:.2%} at most, "
            f"{kind.margin:.2%} may be{seen}"
        )
        soon = levels(settings.confidence, look + 1, HALVES)
        times = times_until(lambda times: outcome(whole.difference, soon, kind.margin, times) != 0)
        findings.needs.append(need(times, whole.count, max(whole.users, 1)).words(kind.what))
    return figures


def count(table: Table, rows: NDArray[np.intp], kind: Kind, likeness: float, failures: int = 0) -> Found:
    """Count some rows. A failure whose user nobody knows counts as one of a user of its own."""
    owner = table.owners(rows)
    users = int(owner.max()) + 1 if len(owner) else 0
    unknown = np.ones(failures)
    sums: list[Counts] = [
        np.concatenate((np.bincount(owner, flags[rows], users) if users else np.zeros(0), more))
        for flags, more in ((kind.worse, unknown), (kind.better, unknown * 0), (np.ones(len(table.owner)), unknown))
    ]
    return Found(
        worse=int(sums[0].sum()),
        better=int(sums[1].sum()),
        count=len(rows) + failures,
        users=users,
        difference=difference_of(sums[0], sums[1], sums[2], likeness),
    )


def _endpoints(
    table: Table, endpoints: Sequence[int], kind: Kind, *, settings: VerdictSettings, look: int, findings: Findings
) -> bool:
    at = levels(settings.confidence, look, HALVES * max(len(endpoints), 1))
    hurt = False
    for number in endpoints:
        rows = table.rows(number)
        if not kind.worse[rows].any():
            continue
        figures = count(table, rows, kind, settings.likeness).figures(at)
        if _harm(figures, kind.margin, at):
            hurt = True
            findings.against.append(
                f"{table.endpoints[number]}: {figures['worse']:,} of {len(rows):,} {kind.words}: {figures['low']:.2%} "
                f"at least, {kind.margin:.2%} may be; {kind.named(rows)}"
            )
    return hurt


def _harm(figures: dict[str, Any], margin: float, at: Levels) -> bool:
    """Both must say so: that worse and better are no even chance, and that the difference is beyond the margin."""
    return bool(figures["low"] > margin and figures["p"] <= at.low)
