"""What has arrived of one numbered sequence, and what is missing: gaps, duplicates, reorders, late ones. Pure.

Missing numbers are kept as ranges: a stream that was away for an hour costs one pair of integers, not a set.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Range = tuple[int, int]  # from a number to before another

IN_ORDER, REORDERED, LATE, DUPLICATE = range(4)
# Ranges of lost numbers that are remembered to tell a late one from a duplicate; the oldest are forgotten.
MAX_RANGES = 1000
NOT_BEGUN = 0


class Account:
    """One sequence that counts up by one. ``expected`` is the number that comes next, 0 before the account begins."""

    __slots__ = ("expected", "lost", "missing")

    def __init__(self, expected: int = NOT_BEGUN) -> None:
        self.expected = expected
        self.missing: list[Range] | None = None  # passed over, may still come
        self.lost: list[Range] | None = None  # were missing when the account was settled

    def arrived(self, number: int) -> int:
        """Take a number in; what it is: IN_ORDER (after a gap too), REORDERED, LATE or DUPLICATE."""
        expected = self.expected
        if number >= expected:
            if number > expected:
                if self.missing is None:
                    self.missing = []
                self.missing.append((expected, number))
            self.expected = number + 1
            return IN_ORDER
        if self.missing is not None and _take_out(self.missing, number):
            if not self.missing:
                self.missing = None
            return REORDERED
        if self.lost is not None and _take_out(self.lost, number):
            if not self.lost:
                self.lost = None
            return LATE
        return DUPLICATE

    def outstanding(self, published: int) -> list[Range]:
        """What has not arrived of the numbers up to ``published``; nothing before the account has begun."""
        if self.expected == NOT_BEGUN:
            return []
        ranges = self.missing or []
        return [*ranges, (self.expected, published + 1)] if self.expected <= published else list(ranges)

    def settle(self, published: int) -> None:
        """Close the account up to ``published``: what is outstanding is lost, and late should it come after all."""
        outstanding = self.outstanding(published)
        if outstanding:
            self.lost = [*(self.lost or []), *outstanding][-MAX_RANGES:]
            self.missing = None
            self.expected = max(self.expected, published + 1)


def size(ranges: Iterable[Range]) -> int:
    """How many numbers they hold."""
    return sum(stop - start for start, stop in ranges)


def within(ranges: Iterable[Range], first: int, last: int) -> int:
    """How many numbers of them lie from ``first`` to ``last``, both counted."""
    return sum(max(min(stop, last + 1) - max(start, first), 0) for start, stop in ranges)


def without(ranges: Iterable[Range], numbers: Iterable[int]) -> int:
    """How many numbers they hold that are not among ``numbers`` (which are all different)."""
    ranges = list(ranges)
    return size(ranges) - sum(_holds(ranges, number) for number in numbers)


def _at(ranges: list[Range], number: int) -> int:
    at = bisect_right(ranges, number, key=_start) - 1
    return at if at >= 0 and number < ranges[at][1] else -1


def _start(pair: Range) -> int:
    return pair[0]


def _holds(ranges: list[Range], number: int) -> bool:
    return _at(ranges, number) >= 0


def _take_out(ranges: list[Range], number: int) -> bool:
    at = _at(ranges, number)
    if at < 0:
        return False
    start, stop = ranges[at]
    ranges[at : at + 1] = [pair for pair in ((start, number), (number + 1, stop)) if pair[0] < pair[1]]
    return True
