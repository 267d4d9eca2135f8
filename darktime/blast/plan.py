"""One plan that workers offer together: the model, when what is due, and for how long. Pure; it travels as JSON."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from darktime.blast import arrivals

if TYPE_CHECKING:
    from darktime.blast.arrivals import Arrivals, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``rate_per_s`` is of all workers together; None is the closed model, in which the instance sets the rate.

    ``points``: (seconds, rate) of a curve; ``times_s``: recorded arrivals; ``seed``: random arrivals of that mean rate;
    without any of them arrivals are even. ``action`` is what a scenario does just before.
    """

    stage: str
    duration_s: float
    rate_per_s: float | None = None
    drain_s: float = 1.0
    seed: int | None = None
    points: tuple[tuple[float, float], ...] = ()
    times_s: tuple[float, ...] = ()
    action: str = ""

    @property
    def closed(self) -> bool:
        """Whether the instance sets the rate."""
        return self.rate_per_s is None and not self.points and not self.times_s

    @property
    def steady(self) -> bool:
        """Whether the same rate is offered all the time."""
        return self.rate_per_s is not None and not self.points and not self.times_s

    def mean_rate_per_s(self) -> float | None:
        """What is planned, on average; None in the closed model."""
        if self.points:
            area = sum((low + high) / 2 * (end - start) for (start, low), (end, high) in _pairs(self.points))
            return area / self.duration_s
        if self.times_s:
            return len(self.times_s) / self.duration_s
        return self.rate_per_s

    def peak_rate_per_s(self) -> float:
        """The most that is planned for any second; 0 in the closed model."""
        if self.points:
            return max(rate for _, rate in self.points)
        if self.times_s:
            return float(max(bisect_right(self.times_s, at + 1) - first for first, at in enumerate(self.times_s)))
        return self.rate_per_s or 0.0

    def arrivals(self, share: Share) -> Arrivals:
        """The due times of one worker."""
        if self.points:
            return arrivals.curve(self.points, share)
        if self.times_s:
            return arrivals.recorded(self.times_s, share)
        assert self.rate_per_s is not None
        if self.seed is not None:
            return arrivals.poisson(self.rate_per_s, self.seed, self.duration_s, share)
        return arrivals.constant(self.rate_per_s, self.duration_s, share)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        points = tuple((float(at), float(rate)) for at, rate in saved["points"])
        return cls(**{**saved, "points": points, "times_s": tuple(saved["times_s"])})


def _pairs(points: tuple[tuple[float, float], ...]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(itertools.pairwise(points))
