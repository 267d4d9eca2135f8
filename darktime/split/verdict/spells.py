"""Spells: what befalls many users at the same time, and so tells less than so many users would. Pure.

A machine that has no time for three seconds makes everybody's requests slow who asks just then, on the side that queues more. Users
are then not drawn one by one, whatever the jackknife over users says. So the pairs are also cut into stretches of time,
and the variance is that between stretches, if it is the larger: batch means (Schmeiser, Operations Research 30, 1982: ten to
thirty of them).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from darktime.split.verdict.clusters import residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Stretches = NDArray[np.intp]

MOST: Final = 20
LEAST: Final = 5
LONG_S: Final = 2.0  # a stretch, where there is time for more than the least of them
# Two more discordant pairs than were seen (Bonett and Price, JEBS 37, 2012): to have seen none is no proof of none.
UNSEEN: Final = 2.0


def stretches(at: Numbers) -> Stretches | None:
    """Of each pair the number of its stretch, from 0: as many pairs in each. None where all began at the same time.

    ``at``: when each began, in seconds.
    """
    span_s = float(at.max()) - float(at.min()) if len(at) else 0.0
    if not 0 < span_s < np.inf or len(at) < 2 * MOST:
        return None
    count = min(MOST, max(LEAST, int(span_s / LONG_S)))
    numbers = np.empty(len(at), dtype=np.intp)
    numbers[np.argsort(at, kind="stable")] = np.arange(len(at)) * count // len(at)
    return numbers


def between(score: Numbers | NDArray[np.bool_], stretch: Stretches) -> tuple[float, float]:
    """The error of the mean score, and its degrees of freedom, from how much stretches of time differ."""
    sizes = np.bincount(stretch).astype(float)
    parts = residuals(np.bincount(stretch, score).astype(float), sizes)
    return math.sqrt(float(parts @ parts) + UNSEEN) / len(score), len(sizes) - 1.0
