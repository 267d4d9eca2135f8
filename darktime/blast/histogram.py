"""Counts times in microseconds in a log-linear list of integers, three digits or better. Pure.

Up to 2,047 µs every value has its own bucket; above, each doubling has 1,024 buckets, so a bucket is never wider than a
thousandth of its values. 2**32 µs (71 minutes) and more is counted as overflow: never dropped, and the maximum stays
exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUB_BITS = 10
_EXACT_BITS = _SUB_BITS + 1
_TOP_BITS = 32
_BUCKETS = (_TOP_BITS - _EXACT_BITS + 2) << _SUB_BITS

_NONE: list[int] = []  # of those that hold nothing; never written to


def bucket_of(value_us: int) -> int:
    """The bucket of a value below 2**32."""
    shift = value_us.bit_length() - _EXACT_BITS
    return value_us if shift <= 0 else (shift << _SUB_BITS) + (value_us >> shift)


def highest_of(bucket: int) -> int:
    """The highest value, in µs, that falls into a bucket."""
    if bucket < 1 << _EXACT_BITS:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return ((bucket - (shift << _SUB_BITS) + 1) << shift) - 1


class Histogram:
    """How often each time occurred. Mergeable: a merge is an addition."""

    __slots__ = ("_buckets", "count", "max_us", "min_us", "overflow", "sum_us")

    def __init__(self) -> None:
        self._buckets: list[int] = _NONE  # 188 kB: most histograms of a second stay empty
        self.count = 0
        self.sum_us = 0
        self.min_us: int | None = None
        self.max_us = 0
        self.overflow = 0

    def _own_buckets(self) -> list[int]:
        """To be counted into; made when the first time comes."""
        if not self._buckets:
            self._buckets = [0] * _BUCKETS
        return self._buckets

    def add(self, value_us: int, times: int = 1) -> None:
        """Count a time. A negative one is a fault of the caller's clock and raises ValueError."""
        if value_us < 0:
            raise ValueError(f"a time of {value_us} µs: a span cannot be negative")
        self.count += times
        self.sum_us += value_us * times
        self.max_us = max(self.max_us, value_us)
        if self.min_us is None or value_us < self.min_us:
            self.min_us = value_us
        buckets = self._own_buckets()
        shift = value_us.bit_length() - _EXACT_BITS
        if shift <= 0:
            buckets[value_us] += times
        elif value_us >> _TOP_BITS:
            self.overflow += times
        else:
            buckets[(shift << _SUB_BITS) + (value_us >> shift)] += times

    def add_seconds(self, spans_s: Sequence[float]) -> None:
        """Count many times at once, given in seconds; the microseconds are their whole part.

        A batch costs a fifth of what its times cost one by one, so a hot path only collects them. Negative ones raise
        ValueError.
        """
        if not spans_s:
            return
        values = (np.array(spans_s) * 1e6).astype(np.int64)
        lowest, highest = int(values.min()), int(values.max())
        if lowest < 0:
            raise ValueError(f"a time of {lowest} µs: a span cannot be negative")
        self.count += len(values)
        self.sum_us += int(values.sum())
        self.max_us = max(self.max_us, highest)
        self.min_us = lowest if self.min_us is None else min(self.min_us, lowest)
        # frexp's exponent is the bit length: exact, since all values are far below 2**53.
        shift = np.maximum(np.frexp(values.astype(np.float64))[1] - _EXACT_BITS, 0)
        buckets = (shift << _SUB_BITS) + (values >> shift)
        if highest >> _TOP_BITS:
            inside = values < 1 << _TOP_BITS
            self.overflow += len(values) - int(inside.sum())
            buckets = buckets[inside]
        found, times = np.unique(buckets, return_counts=True)
        counts = self._own_buckets()
        for bucket, many in zip(found.tolist(), times.tolist(), strict=True):
            counts[bucket] += many

    def merge(self, other: Histogram) -> None:
        """Add another's counts to these."""
        if other.min_us is None:
            return
        counts = self._own_buckets()
        for bucket, times in other.buckets():
            counts[bucket] += times
        self.count += other.count
        self.sum_us += other.sum_us
        self.overflow += other.overflow
        self.max_us = max(self.max_us, other.max_us)
        self.min_us = other.min_us if self.min_us is None else min(self.min_us, other.min_us)

    def without(self, other: Histogram) -> Histogram:
        """What is left when times that are among these are taken out.

        Its extremes are those of their buckets; of times in overflow, the whole's.
        """
        left = Histogram()
        taken = dict(other.buckets())
        for bucket, times in self.buckets():
            if times > taken.get(bucket, 0):
                left.add(min(highest_of(bucket), self.max_us), times - taken.get(bucket, 0))
        left.overflow = self.overflow - other.overflow
        left.count, left.sum_us = self.count - other.count, self.sum_us - other.sum_us
        left.max_us = self.max_us if left.overflow else left.max_us
        return left

    def buckets(self) -> list[tuple[int, int]]:
        """The buckets in use with their counts, lowest first (overflow apart)."""
        if self.min_us is None:
            return []
        first = min(bucket_of(self.min_us), _BUCKETS)
        last = min(bucket_of(self.max_us), _BUCKETS - 1)
        return [(at, times) for at, times in enumerate(self._buckets[first : last + 1], first) if times]

    def sum_of_squares_us2(self) -> float:
        """Of all times, each taken as its bucket's upper end; what is in overflow counts as the maximum."""
        inside = sum(times * highest_of(bucket) ** 2 for bucket, times in self.buckets())
        return float(inside + self.overflow * self.max_us**2)

    def percentile(self, percent: float) -> int | None:
        """The time in µs that ``percent`` of all do not exceed (nearest rank, the bucket's upper end).

        None when empty.
        """
        if not self.count:
            return None
        if not 0 <= percent <= 100:  # noqa: PLR2004
            raise ValueError(f"percentile {percent}: it lies between 0 and 100")
        rank = max(math.ceil(round(percent * self.count / 100, 9)), 1)
        seen = 0
        for bucket, times in self.buckets():
            seen += times
            if seen >= rank:
                return min(highest_of(bucket), self.max_us)
        return self.max_us  # among the overflow

    def count_above(self, value_us: int) -> int:
        """How many took longer than ``value_us``, each taken as its bucket's upper end, as ``percentile`` shows it.

        So a percentile lies above a value exactly when too many times do.
        """
        if self.max_us <= value_us:
            return 0
        if value_us < 0:
            return self.count
        if value_us >> _TOP_BITS:
            return self.overflow
        at = bucket_of(value_us)
        first = at if min(highest_of(at), self.max_us) > value_us else at + 1
        return self.overflow + sum(times for bucket, times in self.buckets() if bucket >= first)

    def percentile_ms(self, percent: float) -> float | None:
        """As ``percentile``, in milliseconds."""
        value_us = self.percentile(percent)
        return None if value_us is None else value_us / 1000

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able; only the buckets in use."""
        return {
            "count": self.count,
            "sum_us": self.sum_us,
            "min_us": self.min_us,
            "max_us": self.max_us,
            "overflow": self.overflow,
            "buckets": [list(pair) for pair in self.buckets()],
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Histogram:
        """What ``to_dict`` gave."""
        histogram = cls()
        if saved["buckets"]:
            counts = histogram._own_buckets()
            for bucket, times in saved["buckets"]:
                counts[bucket] = times
        histogram.count, histogram.sum_us = saved["count"], saved["sum_us"]
        histogram.min_us, histogram.max_us = saved["min_us"], saved["max_us"]
        histogram.overflow = saved["overflow"]
        return histogram
