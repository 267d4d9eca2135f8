"""Finds the rate where an instance stops to hold: doubling, then bisection in log space, over outcomes. Pure."""

from __future__ import annotations

import math

PRECISION = 1.1  # the interval is narrow enough when its ends are within 10 %


class Search:
    """Ask ``next_rate``, try it, ``record`` how it went; until ``next_rate`` is None.

    A rate has failed when it failed twice in a row: one hiccup of the machine is no limit. ``highest_pass_per_s`` and
    ``lowest_fail_per_s`` are the interval so far; a pass above an earlier failure moves the failure away (noise, seen
    as such).
    """

    def __init__(
        self, *, start_per_s: float, max_per_s: float, min_per_s: float = 1.0, precision: float = PRECISION
    ) -> None:
        self.max_per_s = max_per_s
        self.min_per_s = min(min_per_s, max_per_s)
        self.precision = precision
        self.highest_pass_per_s: float | None = None
        self.lowest_fail_per_s: float | None = None
        self._rate = min(start_per_s, max_per_s)
        self._failed_once = False

    @property
    def bracketed(self) -> bool:
        """A pass and a failure are known: what is left is to narrow the interval."""
        return self.highest_pass_per_s is not None and self.lowest_fail_per_s is not None

    @property
    def held_maximum(self) -> bool:
        """The highest rate that may be tried was held."""
        return self.highest_pass_per_s is not None and self.highest_pass_per_s >= self.max_per_s

    def next_rate(self) -> float | None:
        """The rate to try next, or None when the interval is narrow enough or an end of the range is reached."""
        if self._failed_once:
            return self._rate
        passed, failed = self.highest_pass_per_s, self.lowest_fail_per_s
        if passed is None and failed is None:
            return self._rate
        if failed is None:
            assert passed is not None
            return None if passed >= self.max_per_s else min(passed * 2, self.max_per_s)
        if passed is None:
            return None if failed <= self.min_per_s else max(failed / 2, self.min_per_s)
        return None if failed / passed <= self.precision else math.sqrt(passed * failed)

    def record(self, rate_per_s: float, *, passed: bool) -> None:
        """Take the outcome of a try at ``rate_per_s``."""
        if passed:
            self._failed_once = False
            self.highest_pass_per_s = max(rate_per_s, self.highest_pass_per_s or 0.0)
            if self.lowest_fail_per_s is not None and self.lowest_fail_per_s <= rate_per_s:
                self.lowest_fail_per_s = None
        elif not self._failed_once:
            self._failed_once = True
            self._rate = rate_per_s
        else:
            self._failed_once = False
            self.lowest_fail_per_s = min(rate_per_s, self.lowest_fail_per_s or math.inf)
            if self.highest_pass_per_s is not None and self.highest_pass_per_s >= rate_per_s:
                self.highest_pass_per_s = None
