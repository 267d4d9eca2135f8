"""Who was in, as a split's results tell it: of how many buckets, at which percentage, when, and how many users that were. Pure.

Nobody counts the users who are not in: no line names them. But who is in was drawn by a hash, each with the percentage's
chance, so that the number of those who were tells within which bounds the number of all lies.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from darktime.split.experiment import KILL, RESUME
from darktime.split.sampling import BUCKETS, buckets_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_STEPS: Final = 100
_Z: Final = 1.96  # of 95 %


def who_was_in(
    state: Mapping[str, Any],
    seen: Iterable[tuple[str, float]],
    ramps: Sequence[Mapping[str, Any]],
    *,
    between: tuple[float, float],
    most: float = 100.0,
    listed: bool = False,
) -> dict[str, Any]:
    """``sampled``: users of whom a copy came; ``steps``: at each percentage that stood, the last hundred.

    Args:
        state: the relay's. It names so many users and no more: then ``at_least`` is true.
        seen: user and time of each copy that was compared.
        ramps: as they were recorded, kills among them.
        between: when the split began and ended, seconds UTC.
        most: the percentage that this host allows.
        listed: a list says who may be in, too: then the draw tells nothing of how many there are.
    """
    steps = steps_of(ramps, between=between, most=most)
    starts = [since for since, _, _ in steps]
    users: list[set[str]] = [set() for _ in steps]
    for user, at in seen:
        found = bisect_right(starts, at) - 1
        if found >= 0 and at < steps[found][1]:
            users[found].add(user)
    rows = [
        {
            "since": since,
            "until": until,
            "percent": percent,
            "buckets": buckets_for(percent),
            "users": len(compared),
            "of": None if listed else of_how_many(len(compared), percent / 100),
        }
        for (since, until, percent), compared in zip(steps, users, strict=True)
    ]
    return {
        "seen": None,
        "sampled": len(state.get("users", ())),
        "at_least": bool(state.get("users_forgotten")),
        "buckets": BUCKETS,
        "steps": rows[-MOST_STEPS:],
        "steps_left_out": max(len(rows) - MOST_STEPS, 0),
        "steps_at_least": bool(state.get("pairs_dropped")),
    }


def steps_of(
    ramps: Sequence[Mapping[str, Any]], *, between: tuple[float, float], most: float
) -> list[tuple[float, float, float]]:
    """From when to when which percentage was mirrored; not where it was nobody."""
    began, ended = between
    found: list[tuple[float, float, float]] = []
    percent, killed, since, stood = 0.0, False, began, 0.0
    for ramp in (*ramps, None):
        at = ended if ramp is None else min(max(ramp["at"], began), ended)
        if ramp is not None:
            what = ramp.get("what")
            killed = what == KILL or (killed and what != RESUME)
            percent = percent if what in (KILL, RESUME) else min(ramp["to"], most)
        stands = 0.0 if killed else percent
        if ramp is not None and stands == stood:
            continue
        if stood and at > since:
            found.append((since, at, stood))
        since, stood = at, stands
    return found


def of_how_many(users: int, chance: float) -> dict[str, int]:
    """How many users there are, of whom each was in by that chance and so many were: within 95 %. Wilson's way round."""
    rest, root = _Z * _Z * (1 - chance), _Z * math.sqrt((1 - chance) * (_Z * _Z * (1 - chance) + 4 * users))
    low, high = ((2 * users + rest + sign * root) / (2 * chance) for sign in (-1, 1))
    return {"low": max(users, math.floor(low)), "high": max(users, math.ceil(high))}
