"""What a search asks for: one rate, why, and for how long. Pure."""

from __future__ import annotations

from dataclasses import dataclass

DOUBLE, BISECT, CONFIRM = "double", "bisect", "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One rate to offer, for how long, and why: ``stage`` is "double", "bisect" or "confirm"."""

    rate_per_s: float
    stage: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Seconds of one try by its stage. A try is longer where ``least_requests`` take longer, up to ``longest_s``."""

    double_s: float = 0.75  # on the way up a try only brackets
    bisect_s: float = 1.5
    confirm_s: float = 5.0
    least_requests: int = 0
    longest_s: float = 10.0

    def of(self, stage: str, rate_per_s: float) -> float:
        """How long to offer a rate."""
        span = {DOUBLE: self.double_s, BISECT: self.bisect_s, CONFIRM: self.confirm_s}[stage]
        return max(span, min(self.least_requests / rate_per_s, self.longest_s))
