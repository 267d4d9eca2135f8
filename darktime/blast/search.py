"""Finds the rate where an instance stops to hold: doubling, bisection in log space, confirmation. Outcomes in. Pure."""

from __future__ import annotations

import math

from darktime.blast.interval import Interval
from darktime.blast.tries import BISECT, CONFIRM, DOUBLE, Durations, Try
from darktime.blast.votes import CLEAR_SHARE, FAILURES, LONGEST, Votes

__all__ = ["Durations", "Search", "Try"]

PRECISION = 1.1  # the interval is narrow enough when its ends are within 10 %
FINE_PRECISION = 1.03  # ... where there is time
# One hold of three may fail: a machine's hiccup.
CONFIRM_PASSES = 2
# A lower end that is not confirmed moves down by the interval's width; after so many times it is no end, it is noise.
MAX_LOWERED = 5
# Rates whose outcomes differ from try to try: near the limit they do, and one or two hiccups happen. More of them, and
# further apart than this factor, and what was found is chance.
NOISY_RATES = 3
NOISY_SPREAD = 1.1
# So far outside the interval no outcome is open any more: what passes above, or fails below, shows noise.
OUTSIDE = 1.25
_ROUNDING = 1 + 1e-9
UNDECIDED = "undecided"
_LIMITED_BY = {"fail": "instance"}


class Search:
    """Ask ``next``, try it, ``record`` how it went; until ``next`` is None.

    ``highest_pass_per_s`` and ``lowest_fail_per_s`` are the interval so far. A rate has failed when two of three tries
    failed, or at once when the instance answered far less than it was offered. An undecided try is repeated, longer.
    A rate where the generator was the limit closes the interval from above like a failure, because the instance may
    still fail below it; if it does not, ``verdict`` is "generator". An upper end that is only undecided, because it was
    tried in passing, is not the last word: the rate above it is tried, where a failure names the limit, then itself, longer.
    """

    def __init__(
        self,
        *,
        start_per_s: float,
        max_per_s: float,
        min_per_s: float = 1.0,
        precision: float = PRECISION,
        confirm: bool = False,
        durations: Durations | None = None,
    ) -> None:
        self.max_per_s = max_per_s
        self.min_per_s = min(min_per_s, max_per_s)
        self.precision = precision
        self.budget_spent = False
        self.next_s = 0.0  # what the try took that there was no time for
        self.noise = ""
        self._start = max(min(start_per_s, max_per_s), self.min_per_s)
        self._confirm = confirm
        self._durations = durations or Durations()
        self._passes: set[float] = set()
        self._failures: dict[float, str] = {}  # rate -> by whom it is limited
        self._held: float | None = None  # the pass that was held again
        self._failure_held: float | None = None  # the failure that failed again
        self._checked: set[float] = set()
        self._shaky: set[float] = set()
        self._aim: float | None = None  # where the limit is likely to be
        self._candidate: float | None = None  # lowered, and not yet held
        self._lowered = 0
        self._stage = DOUBLE
        self._votes: Votes | None = None  # of the rate that is being tried, while it is not settled

    @property
    def highest_pass_per_s(self) -> float | None:
        """The highest rate that was held."""
        return max(self._passes, default=None)

    @property
    def lowest_fail_per_s(self) -> float | None:
        """The lowest rate that was not held."""
        return min(self._failures, default=None)

    @property
    def limited_by(self) -> str:
        """Whose the lowest failure is: "instance", "generator" or "undecided"; "" without one."""
        lowest = self.lowest_fail_per_s
        return "" if lowest is None else self._failures[lowest]

    @property
    def confirmed(self) -> bool:
        """The lower end was held again, longer."""
        return self._held is not None and self._held == self.highest_pass_per_s

    @property
    def bracketed(self) -> bool:
        """A pass and a failure are known: what is left is to narrow the interval."""
        return self.highest_pass_per_s is not None and self.lowest_fail_per_s is not None

    @property
    def held_maximum(self) -> bool:
        """The highest rate that may be tried was held."""
        return (self.highest_pass_per_s or 0.0) >= self.max_per_s

    @property
    def reversals(self) -> int:
        """At how many rates a try contradicted another: of the same rate, or a pass above a failure."""
        return len(self._shaky)

    @property
    def verdict(self) -> str:
        """How it stands.

        "searching", "found", "maximum" (held), "nothing" (not even the lowest rate was held), "generator" or "noisy".
        """
        if self.noise:
            return "noisy"
        if self._attempt() is not None:
            return "searching"
        if self.limited_by == "generator":
            return "generator"
        if self.highest_pass_per_s is None:
            return "nothing"
        return "maximum" if self.held_maximum else "found"

    @property
    def interval(self) -> Interval:
        """What is known by now."""
        return Interval(
            highest_pass_per_s=self.highest_pass_per_s,
            lowest_fail_per_s=self.lowest_fail_per_s,
            maximum_per_s=self.max_per_s,
            budget_spent=self.budget_spent,
            searched=True,
            limited_by=self.limited_by,
            noise=self.noise,
            confirmed=self.confirmed,
            next_s=self.next_s,
        )

    def next(self, remaining_s: float = math.inf) -> Try | None:
        """The next try, the same until it is recorded; None at the end, or if it would take more than is left."""
        attempt = self._attempt()
        self.budget_spent = attempt is not None and attempt.duration_s > remaining_s
        self.next_s = attempt.duration_s if attempt is not None and self.budget_spent else 0.0
        return None if self.budget_spent else attempt

    def next_rate(self) -> float | None:
        """The rate of the next try."""
        attempt = self.next()
        return None if attempt is None else attempt.rate_per_s

    def record(
        self,
        rate_per_s: float,
        outcome: str = "",
        *,
        passed: bool | None = None,
        answered_per_s: float | None = None,
        more_s: float | None = 0.0,
    ) -> None:
        """Take the outcome of a try: "pass", "fail", "undecided" or "generator" (or just ``passed``).

        ``answered_per_s`` (well answered) of a failure tells where the limit may be. ``more_s``: how much longer an
        undecided try would have to be (None: no time would do); one that never will be long enough is not repeated.
        Raises ValueError for another outcome.
        """
        outcome = outcome or ("pass" if passed else "fail")
        attempt = self._attempt()
        if self._votes is None or self._votes.rate_per_s != rate_per_s:
            on_plan = attempt is not None and attempt.rate_per_s == rate_per_s
            self._stage = attempt.stage if attempt is not None and on_plan else BISECT
            lowest = self.lowest_fail_per_s
            again = self._stage == CONFIRM or (lowest is not None and rate_per_s >= lowest)
            self._votes = Votes(
                rate_per_s,
                passes_to_hold=CONFIRM_PASSES if again else 1,
                failures_to_fail=1 if rate_per_s == lowest else FAILURES,
            )
        votes = self._votes
        span = self._durations.of(self._stage, rate_per_s)
        votes.add(
            outcome,
            answered_per_s=answered_per_s,
            hopeless=more_s is None or span * votes.longer + more_s > span * LONGEST,
        )
        if votes.mixed:
            self._note_shaky(rate_per_s)
        settled = votes.settled
        if settled is None:
            return
        self._votes = None
        self._checked.add(rate_per_s)
        if settled == "pass":
            self._passed(rate_per_s)
        else:
            self._failed(rate_per_s, settled, votes.answered_per_s)

    def _attempt(self) -> Try | None:
        if self.noise:
            return None
        if self._votes is not None:
            rate, stage, longer = self._votes.rate_per_s, self._stage, self._votes.longer
        else:
            found = self._choose()
            if found is None:
                return None
            (rate, stage), longer = found, 1.0
        return Try(rate_per_s=rate, stage=stage, duration_s=self._durations.of(stage, rate) * longer)

    def _choose(self) -> tuple[float, str] | None:
        passed, failed = self.highest_pass_per_s, self.lowest_fail_per_s
        if self._candidate is not None:
            return self._candidate, CONFIRM
        if failed is None:
            if passed is None:
                return self._start, DOUBLE
            if passed < self.max_per_s:
                return min(passed * 2, self.max_per_s), DOUBLE
            return self._confirmation(passed)
        if passed is None:
            if failed <= self.min_per_s:
                return None
            low = max(failed / 2, self.min_per_s)
            return (self._aim if self._aim and self.min_per_s <= self._aim < failed else low), DOUBLE
        if failed / passed <= self.precision * _ROUNDING:
            return self._decision(failed) or self._confirmation(passed)
        # Never so near to an end that the try would narrow nothing.
        margin = min(math.sqrt(self.precision), (failed / passed) ** 0.25)
        if self._aim is not None and passed * margin < self._aim < failed / margin:
            return self._aim, BISECT
        return math.sqrt(passed * failed), BISECT

    def _decision(self, failed: float) -> tuple[float, str] | None:
        """What would say more of an upper end that is undecided."""
        if self._failures[failed] != UNDECIDED:
            return None
        above = min(failed * self.precision, self.max_per_s)
        nobody_known = all(kind == UNDECIDED for kind in self._failures.values())
        if nobody_known and above > failed and above not in self._failures:
            return above, BISECT
        return (failed, CONFIRM) if failed != self._failure_held else None

    def _confirmation(self, rate_per_s: float) -> tuple[float, str] | None:
        """Hold both ends again, then look well outside: below the interval all must pass, above it nothing."""
        if not self._confirm:
            return None
        if not self.confirmed:
            return rate_per_s, CONFIRM
        failed = self.lowest_fail_per_s
        if failed is None:
            return None
        if failed != self._failure_held:
            return failed, CONFIRM
        outside = (rate_per_s / OUTSIDE, failed * OUTSIDE)
        return next(
            (
                (rate, BISECT)
                for rate in outside
                if self.min_per_s <= rate <= self.max_per_s and rate not in self._checked
            ),
            None,
        )

    def _passed(self, rate_per_s: float) -> None:
        for failed in [one for one in self._failures if one <= rate_per_s]:  # noise, seen as such: it gives way
            self._note_shaky(failed)
            del self._failures[failed]
        self._passes.add(rate_per_s)
        if self._stage == CONFIRM:
            self._held, self._candidate = rate_per_s, None
        # Where the limit was expected it is likely to be just above.
        aimed, self._aim = self._aim == rate_per_s, None
        if aimed:
            self._aim = rate_per_s * self.precision / _ROUNDING

    def _failed(self, rate_per_s: float, settled: str, answered_per_s: float | None) -> None:
        was_aimed, self._aim = self._aim == rate_per_s, None
        held = self.highest_pass_per_s
        if held is not None and held >= rate_per_s:
            self._note_shaky(held)
            self._passes = {one for one in self._passes if one < rate_per_s}
        if rate_per_s in self._failures and self._stage == CONFIRM:
            self._failure_held = rate_per_s
            if self._failures[rate_per_s] == UNDECIDED:
                self._failures[rate_per_s] = _LIMITED_BY.get(settled, settled)
            return
        self._failures.setdefault(rate_per_s, _LIMITED_BY.get(settled, settled))
        if self._stage == CONFIRM:
            self._lower(rate_per_s)
        elif answered_per_s is not None and answered_per_s < rate_per_s * CLEAR_SHARE and not was_aimed:
            self._aim = answered_per_s

    def _lower(self, rate_per_s: float) -> None:
        self._candidate = None
        self._lowered += 1
        if self._lowered > MAX_LOWERED:
            self.noise = f"{self._lowered} rates in a row did not hold when they were held again"
        elif rate_per_s > self.min_per_s:
            lower = max(rate_per_s / self.precision, self.min_per_s)
            self._candidate = max(lower, self.highest_pass_per_s or 0.0)

    def _note_shaky(self, rate_per_s: float) -> None:
        self._shaky.add(rate_per_s)
        low, high = min(self._shaky), max(self._shaky)
        if len(self._shaky) >= NOISY_RATES and high / low > NOISY_SPREAD:
            self.noise = f"{len(self._shaky)} rates from {low:,.0f} to {high:,.0f}/s both passed and failed"
