"""Distributions of times, seeded: what a server will do is known before it is asked. Pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORMS = "constant:MS, uniform:LOW:HIGH, two-point:MS:MS:SHARE (of the second), exponential:MEAN"


def delays(words: str, seed: int) -> Iterator[float]:
    """Seconds, without end. Raises ValueError for words that are none of ``FORMS``."""
    name, *texts = words.split(":")
    numbers = [float(text) for text in texts]
    draw = random.Random(seed)
    kinds: dict[tuple[str, int], Callable[[], float]] = {
        ("constant", 1): lambda: numbers[0],
        ("uniform", 2): lambda: draw.uniform(numbers[0], numbers[1]),
        ("two-point", 3): lambda: numbers[draw.random() < numbers[2]],
        ("exponential", 1): lambda: draw.expovariate(1.0) * numbers[0],
    }
    one = kinds.get((name, len(numbers)))
    if one is None or any(number < 0 for number in numbers):
        raise ValueError(f"{words}: one of {FORMS} is needed, milliseconds")
    return _without_end(one)


def _without_end(one: Callable[[], float]) -> Iterator[float]:
    while True:
        yield one() / 1000
