"""The outcomes of tries of one rate until they settle it: passed, failed, or nobody can say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

OUTCOMES = ("pass", "fail", "undecided", "generator")
# Two failures of three settle a rate: one hiccup of the machine is no limit.
FAILURES = 2
# Far less answered than offered is no hiccup: it settles the rate at once.
CLEAR_SHARE = 0.8
# An undecided try is repeated, each time twice as long; after so many the rate is not shown to hold.
MAX_LONGER = 2
LONGEST = 2.0**MAX_LONGER


@dataclass(slots=True)
class Votes:
    """``passes_to_hold``: 1 where a pass is enough, 2 where it must be repeated; ``failures_to_fail`` likewise."""

    rate_per_s: float
    passes_to_hold: int = 1
    failures_to_fail: int = FAILURES
    outcomes: list[str] = field(default_factory=list)
    answered_per_s: float | None = None  # of the last failure
    hopeless: bool = False

    def add(self, outcome: str, *, answered_per_s: float | None = None, hopeless: bool = False) -> None:
        """One more try; ``hopeless``: undecided, and no try as long as may be would decide it.

        Raises ValueError for an outcome there is not.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome {outcome!r}: one of {', '.join(OUTCOMES)}")
        self.outcomes.append(outcome)
        self.hopeless = outcome == "undecided" and hopeless
        if outcome == "fail":
            self.answered_per_s = answered_per_s

    @property
    def longer(self) -> float:
        """How many times longer the next try is to be."""
        return 2.0 ** self.outcomes.count("undecided")

    @property
    def mixed(self) -> bool:
        """It passed and it failed."""
        return "pass" in self.outcomes and "fail" in self.outcomes

    @property
    def settled(self) -> str | None:
        """How the rate stands: "pass", "fail", "generator" or "undecided"; None while more tries are needed."""
        passes, failures = self.outcomes.count("pass"), self.outcomes.count("fail")
        bound, undecided = self.outcomes.count("generator"), self.outcomes.count("undecided")
        # After a failure a pass is worth one of three tries, like everything else.
        if passes >= (FAILURES if failures + bound else self.passes_to_hold):
            return "pass"
        if failures + bound >= self.failures_to_fail or self._clear:
            return "fail" if failures else "generator"
        return "undecided" if undecided > MAX_LONGER or self.hopeless else None

    @property
    def _clear(self) -> bool:
        return (
            self.outcomes[-1] == "fail"
            and self.answered_per_s is not None
            and self.answered_per_s < CLEAR_SHARE * self.rate_per_s
            and "pass" not in self.outcomes
        )
