"""Reads a curve of rates from a CSV file of ``seconds,rate`` lines, for plans that follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.arrivals import curve
from darktime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

Points = tuple[tuple[float, float], ...]


def read_curve(file: Path, *, speed: float = 1.0, scale: float = 1.0) -> Points:
    """The (seconds, rate) points of a file, ``speed`` times as fast, at ``scale`` times the rates.

    Raises UsageError for a file that cannot be read and for lines that make no curve.
    """
    if speed <= 0 or scale <= 0:
        raise UsageError(f"{file}: speed {speed:g} and scale {scale:g} must be above 0")
    try:
        points = parse_curve(file.read_text(encoding="utf-8"))
        points = tuple((at / speed, rate * scale) for at, rate in points)
        curve(points)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; name a file of seconds,rate lines") from error
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    return points


def parse_curve(text: str) -> Points:
    """``seconds,rate`` lines; blank ones and those with # in front are left out (pure). Raises ValueError."""
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
    return tuple(points)
