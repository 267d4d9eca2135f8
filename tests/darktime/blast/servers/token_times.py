"""When the events of a token stream are due: the nth stream of a seed is always the same. Pure."""

from __future__ import annotations

import random


def token_times(
    seed: int, number: int, *, events: int, first_ms: float, between_ms: float, jitter: float
) -> list[float]:
    """Seconds after the request; each wait is its mean times 1 +- ``jitter``, uniformly."""
    draw = random.Random(f"{seed}/{number}")
    at = 0.0
    times = []
    for event in range(events):
        at += (between_ms if event else first_ms) / 1000 * (1 + jitter * draw.uniform(-1, 1))
        times.append(at)
    return times
