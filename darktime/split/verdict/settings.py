"""What a verdict is judged by: margins, confidence, how much must have been seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from darktime.errors import UsageError

# A limit's name, and between what it may lie, both ends included.
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "latency_ratio": (1.0, 100.0),
    "latency_slack_s": (0.0, 3600.0),
    "error_margin": (1e-6, 0.5),
    "difference_margin": (1e-6, 0.5),
    "confidence": (0.8, 0.9999),
    "coverage": (0.0, 1.0),
    "small_endpoint": (0.0, 1.0),
    "likeness": (0.0, 1.0),
    "min_pairs": (0, 10**9),
    "min_users": (0, 10**9),
    "min_pairs_an_endpoint": (2, 10**9),
    "min_users_an_endpoint": (1, 10**9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSettings:
    """Margins and coverage. Raises UsageError for one that is out of its range.

    ``latency_ratio``: how much slower dark's p95 may be; ``latency_slack_s``: a smaller difference is the measurement's
    own (nginx's clock ticks in milliseconds, and the relay shares its machine). ``error_margin``: how much higher the
    share of errors may be; ``difference_margin``: what share of the answers may differ. ``confidence``: 1 less what all
    looks together may err with, in false GOs and in false NO-GOs each.

    ``coverage``: what share of an endpoint's copies must have been compared. An endpoint with less than
    ``small_endpoint`` of the traffic is not asked for, but what speaks against it counts. ``likeness``: how alike one
    user's failures are taken to be while too few were seen to measure it (the intraclass correlation: 0, each request
    is drawn anew; 1, a user fails always or never). ``compared_hop``: the hop whose reasons say how the dark instance
    failed.
    """

    latency_ratio: float = 1.10
    latency_slack_s: float = 0.005
    error_margin: float = 0.001
    difference_margin: float = 0.001
    confidence: float = 0.95
    min_pairs: int = 200
    min_users: int = 20
    min_pairs_an_endpoint: int = 20
    min_users_an_endpoint: int = 10
    coverage: float = 0.9
    small_endpoint: float = 0.01
    likeness: float = 0.05
    compared_hop: str = "relay>compared"

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name in _RANGES:
                value, (least, most) = getattr(self, one.name), _RANGES[one.name]
                if not (math.isfinite(value) and least <= value <= most):
                    raise UsageError(f"{one.name} {value}: give one between {least:g} and {most:g}")
