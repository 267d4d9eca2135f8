"""Reads a curve of rates from ``seconds,rate`` lines, for plans that follow it. Pure."""

from __future__ import annotations

from darktime.blast.arrivals import curve
from darktime.errors import UsageError

Points = tuple[tuple[float, float], ...]


def parse_curve(text: str) -> Points:
    """The (seconds, rate) points of the lines; blank ones and those with # in front are left out.

    Raises ValueError for a line that is no point, and for points that are no curve.
    """
    points = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            at, rate = (float(word) for word in words.split(","))
        except ValueError as error:
            raise ValueError(f"line {number} is {words[:80]!r}: write SECONDS,RATE, as in 60,200") from error
        points.append((at, rate))
    curve(points)
    return tuple(points)


def stretched(points: Points, *, speed: float, scale: float) -> Points:
    """The curve ``speed`` times as fast, at ``scale`` times its rates. Raises UsageError for either not above 0."""
    if not speed > 0 or not scale > 0:
        raise UsageError(f"a curve with speed={speed:g} and scale={scale:g}: both must be above 0")
    return tuple((at / speed, rate * scale) for at, rate in points)
