"""Tells a queue that grows while a rate is offered from a time that is merely long or that wavers. Pure.

Of a rate beyond an instance's capacity a short probe shows only a little: the queue has not had the time to become long.
But it shows in how the times grow. Served first come first served at a rate S of the R that are offered, replies that
come t seconds after the beginning took t * (1 - S / R): the rise of the mean, a second, is the share that goes short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.wilson import Z_95

if TYPE_CHECKING:
    from darktime.blast.histogram import Histogram

# A rate is held when so many of its requests leave the instance as come to it.
SHORTFALL_LIMIT = 0.03
# Fewer replies in a half say nothing about its mean.
LEAST_REPLIES = 30
# To see a tenth more than an instance takes as a queue, at even arrivals; random ones are themselves a tenth more or less
# for a while, and need more to show it.
LEAST_EVEN, LEAST_RANDOM = 120, 600
# Fewer that were still under way at the end are no queue.
LEAST_LEFT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How many replies came within a span, and the sums of their times and of the times' squares (s, s²)."""

    count: int = 0
    sum_s: float = 0.0
    square_s2: float = 0.0

    @classmethod
    def of(cls, histogram: Histogram) -> Times:
        """Of all that a histogram holds."""
        squares = histogram.sum_of_squares_us2()
        return cls(count=histogram.count, sum_s=histogram.sum_us / 1e6, square_s2=squares / 1e12)

    def __add__(self, other: Times) -> Times:
        return Times(
            count=self.count + other.count,
            sum_s=self.sum_s + other.sum_s,
            square_s2=self.square_s2 + other.square_s2,
        )

    def __sub__(self, other: Times) -> Times:
        return Times(
            count=self.count - other.count,
            sum_s=self.sum_s - other.sum_s,
            square_s2=self.square_s2 - other.square_s2,
        )

    @property
    def mean_s(self) -> float:
        """0 of none."""
        return self.sum_s / self.count if self.count else 0.0

    @property
    def error_s2(self) -> float:
        """The variance of the mean."""
        return max(self.square_s2 / self.count - self.mean_s**2, 0.0) / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """When the replies of one plan came: in the first and the second half of its time, and after it (or never)."""

    first: Times
    second: Times
    after: Times

    def __add__(self, other: Spans) -> Spans:
        return Spans(first=self.first + other.first, second=self.second + other.second, after=self.after + other.after)

    @property
    def mean_s(self) -> float:
        """Of all three."""
        return (self.first + self.second + self.after).mean_s


class Halves:
    """Cuts what was counted of a plan in two, at ``half_s`` on its clock: whoever reads the clock looks."""

    def __init__(self, half_s: float) -> None:
        self._half_s = half_s
        self._first: Times | None = None

    def is_over(self, now_s: float) -> bool:
        """Whether it is time to cut."""
        return self._first is None and now_s >= self._half_s

    def cut(self, counted: Times) -> None:
        """This was counted of the first half."""
        self._first = counted

    def spans(self, in_time: Times, whole: Times) -> Spans | None:
        """Of what was counted when its time was over, and in the end; None where it did not come to the half."""
        if self._first is None:
            return None
        return Spans(first=self._first, second=in_time - self._first, after=whole - in_time)


def shortfall(spans: Spans, duration_s: float) -> float:
    """The share of what came that did not leave again, at least, with 95 % confidence; 0 where no queue grew.

    A pause of the instance makes times rise as well, and they fall again: a queue that grows is longest at the end, so
    what was still under way there took longer than what had come before it.
    """
    first, second, after = spans.first, spans.second, spans.after
    if too_few(spans) or after.count < LEAST_LEFT or after.mean_s <= second.mean_s:
        return 0.0
    between_s = duration_s / 2  # from the middle of one half to the middle of the other
    sure_s = second.mean_s - first.mean_s - Z_95 * math.sqrt(first.error_s2 + second.error_s2)
    return min(max(sure_s / between_s, 0.0), 1.0)


def too_few(spans: Spans) -> bool:
    """Whether so little came in each half that a queue would not be seen, however fast it grew."""
    return min(spans.first.count, spans.second.count) < LEAST_REPLIES


def still_needed_s(spans: Spans, duration_s: float) -> float:
    """How much longer a plan must be before a queue could show: 0 where its time is at least four times a reply's."""
    return max(4 * spans.mean_s - duration_s, 0.0)
