"""Two instances under the same plan in turn, A B B A …: which order, which figures of a leg, and what the pairs say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from darktime.blast.versus import BETTER, CANNOT_TELL, LEAST_PAIRS, WORSE, compare_pairs
from darktime.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.blast.versus import Versus

CAPACITY, GOODPUT = "capacity", "goodput"
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
_KEYS = {"p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
# A percentile with fewer requests above it is the accident of those few.
LEAST_ABOVE = 2
LEAST_MS = 0.001
VOID = ExitCode.INVALID
_CODES = {BETTER: ExitCode.OK, WORSE: ExitCode.FAILED, CANNOT_TELL: ExitCode.WAIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One run of one side. ``figures`` by name: milliseconds, or a second; those it has.

    ``known_to``: a capacity lies anywhere between its ends, which are so many times below and above it.
    """

    side: str  # "A" or "B"
    figures: Mapping[str, float]
    exit_code: int
    why: str = ""
    known_to: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of B against A: medians of both, and the ratio with its interval where there are pairs enough."""

    name: str
    unit: str
    a: float
    b: float
    ratio: float | None
    low: float | None
    high: float | None
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """B against A. No metrics where a leg was void: what it did to the others nobody knows."""

    outcome: str
    metrics: tuple[Metric, ...]
    sentence: str
    exit_code: ExitCode


def order(pairs: int) -> str:
    """Whose turn it is, leg by leg: ``ABBAABBA…``, so that what drifts evenly harms both alike."""
    return "".join("BA" if at % 2 else "AB" for at in range(pairs))


def leg_of(side: str, result: Mapping[str, Any], *, searched: bool) -> Leg:
    """What one run tells: of a search its capacity, else latencies and goodput over all that was offered."""
    probes = result["probes"]
    figures: dict[str, float] = {}
    known_to = 1.0
    highest, lowest = result["capacity"]["highest_pass_per_s"], result["capacity"]["lowest_fail_per_s"]
    if searched:
        if highest and lowest:
            figures[CAPACITY], known_to = (highest * lowest) ** 0.5, (lowest / highest) ** 0.5
    elif probes:
        requests = min(probe["requests"] for probe in probes)
        for name, percent in PERCENTILES.items():
            value = result["latency"][_KEYS[name]]
            if value is not None and requests * (1 - percent / 100) >= LEAST_ABOVE:
                figures[name] = max(value, LEAST_MS)
        seconds = sum(probe["duration_s"] for probe in probes)
        good = sum(probe["goodput_per_s"] * probe["duration_s"] for probe in probes)
        figures[GOODPUT] = max(good, 1.0) / seconds  # none at all counts as less than one, so that there is a ratio
    return Leg(side=side, figures=figures, exit_code=result["exit_code"], why=result["sentence"], known_to=known_to)


def compare_legs(legs: Sequence[Leg], *, planned: int, interrupted: bool = False) -> Comparison:
    """What whole pairs of legs say; ``planned`` is how many legs there were to be."""
    void = next((at for at, leg in enumerate(legs) if leg.exit_code == VOID), None)
    if void is not None:
        sentence = f"No comparison is given: in leg {void + 1} ({legs[void].side}) the generator was the limit. {legs[void].why}"
        return Comparison(outcome=CANNOT_TELL, metrics=(), sentence=sentence, exit_code=VOID)
    metrics, found = [], []
    names = _common(legs)
    for name in names:
        pairs = _pairs(legs, name)
        versus = compare_pairs(
            pairs, higher_is_better=name in (CAPACITY, GOODPUT), beside=len(names), known_to=_known_to(legs)
        )
        found.append((name, versus))
        metrics.append(_metric(name, pairs, versus))
    outcome, sentence = _summed_up(found, len(legs) // 2)
    if interrupted:
        sentence = f"Interrupted after {len(legs)} of {planned} legs. {sentence}"
    code = ExitCode.INTERRUPTED if interrupted else _CODES[outcome]
    return Comparison(outcome=outcome, metrics=tuple(metrics), sentence=sentence, exit_code=code)


def _common(legs: Sequence[Leg]) -> list[str]:
    """The figures that whole pairs have, in the order in which they are told."""
    return [name for name in (CAPACITY, *PERCENTILES, GOODPUT) if _pairs(legs, name)]


def _pairs(legs: Sequence[Leg], name: str) -> list[tuple[float, float]]:
    pairs = []
    for one, other in zip(legs[::2], legs[1::2], strict=False):
        first, second = (one, other) if one.side == "A" else (other, one)
        if name in first.figures and name in second.figures:
            pairs.append((first.figures[name], second.figures[name]))
    return pairs


def _known_to(legs: Sequence[Leg]) -> float:
    """How far the ratio of two legs may be off because each lies anywhere between its ends: the widest of both sides."""
    widest = [max((leg.known_to for leg in legs if leg.side == side), default=1.0) for side in "AB"]
    return widest[0] * widest[1]


def _metric(name: str, pairs: Sequence[tuple[float, float]], versus: Versus) -> Metric:
    a, b = (float(np.median([pair[at] for pair in pairs])) for at in (0, 1))
    unit = "/s" if name in (CAPACITY, GOODPUT) else "ms"
    return Metric(
        name=name, unit=unit, a=a, b=b, ratio=versus.ratio, low=versus.low, high=versus.high, outcome=versus.verdict
    )


def _summed_up(found: Sequence[tuple[str, Versus]], pairs: int) -> tuple[str, str]:
    """Better or worse by at least one figure, and by none the other way."""
    if not found:
        return CANNOT_TELL, f"Cannot tell: {pairs} whole pairs of legs have no figure in common."
    if all(versus.ratio is None for _, versus in found):
        return CANNOT_TELL, f"Cannot tell: {pairs} whole pairs are too few, at least {LEAST_PAIRS}."
    better = [_words(name, versus) for name, versus in found if versus.verdict == BETTER]
    worse = [_words(name, versus) for name, versus in found if versus.verdict == WORSE]
    if better and worse:
        return CANNOT_TELL, f"Cannot tell: B is better by {_listed(better)}, and worse by {_listed(worse)}."
    if better or worse:
        word = BETTER if better else WORSE
        return word, f"B is {word}: {_listed(better or worse)} (95 % for all figures together)."
    widest = max((versus for _, versus in found if versus.ratio), key=lambda one: (one.high or 1) / (one.low or 1))
    return CANNOT_TELL, (
        f"Cannot tell: no figure differs by more than chance; the least certain is {widest.low:.3g} to {widest.high:.3g} "
        f"times A's (95 % for all figures together)."
    )


def _words(name: str, versus: Versus) -> str:
    return f"its {name} is {versus.ratio:.3g} times A's, {versus.low:.3g} to {versus.high:.3g}"


def _listed(words: Sequence[str]) -> str:
    """The two that say most; the others are in the table."""
    shown = "; ".join(words[:2])
    return shown if len(words) <= 2 else f"{shown}; and {len(words) - 2} more"  # noqa: PLR2004
