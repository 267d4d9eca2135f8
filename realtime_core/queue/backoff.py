"""How long a failed job waits for its next attempt. Pure; the caller draws the chance."""

from __future__ import annotations

from typing import Final

MAX_BACKOFF_S: Final = 300.0


def backoff_s(attempt: int, base_s: float, chance: float) -> float:
    """Seconds to wait after failed attempt ``attempt`` (from 1): base, 2·base, 4·base, … and up to as much again.

    ``chance`` in [0, 1) spreads jobs that failed together. The base part never exceeds 300 s.
    """
    doublings = min(attempt - 1, 30)
    return min(base_s * (1 << doublings), MAX_BACKOFF_S) * (1 + chance)
