"""Pairs made to measure."""

from __future__ import annotations

import random
from dataclasses import replace

from darktime.split.compare import Pair, Side


def pairs(count=8000, users=800, *, endpoint="/p", slower=1.0, later_s=0.0, errors=0.0, seed=1, first=0):
    """Pairs of users who have a pace of their own; dark is ``slower`` times as slow, and ``later_s`` more."""
    draw = random.Random(seed)
    paces = [draw.lognormvariate(0, 0.3) for _ in range(users)]
    made = []
    for number in range(first, first + count):
        base = 0.02 * paces[number % users] * draw.lognormvariate(0, 0.2)
        seconds = base * slower * draw.lognormvariate(0, 0.05) + later_s
        production = Side(status=200, content_type="text/html", length=1, seconds=base)
        dark = replace(production, status=500 if draw.random() < errors else 200, seconds=seconds)
        made.append(
            Pair(
                id=f"id-{number}", endpoint=endpoint, user=str(number % users), at=0.0, production=production, dark=dark
            )
        )
    return made
