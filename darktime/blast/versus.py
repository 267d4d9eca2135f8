"""Compares two runs, or pairs of interleaved ones: better, worse or cannot tell, with the interval. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from darktime.blast.histogram import highest_of
from darktime.blast.student import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"
SEED = 20_130_317  # fixed: the same files give the same answer
RESAMPLES = 2_000
LEVELS = (2.5, 97.5)
FALSE_ALARMS = 0.05
# A difference below 2 % is no news, however many requests make it certain: the next start of the same program differs
# by as much.
LEAST_EFFECT = 0.02
# With fewer, resampling only repeats the few values there are.
LEAST_WINDOWS = 3
LEAST_PAIRS = 4
# Rates this close are the same rate.
SAME_RATE = 0.01
USABLE_EXITS = frozenset({0, 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """The second against the first.

    ``ratio``: of what ``basis`` names ("capacity", "p99" or "pairs"), second over first, from ``low`` to ``high`` (95 %);
    all None when nothing could be compared.
    """

    verdict: str
    basis: str
    ratio: float | None
    low: float | None
    high: float | None
    sentence: str


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Versus:
    """Compare two saved results of a blast: by capacity where both searched, else by the p99 at their common rates."""
    unfit = _unfit(first, second)
    if unfit:
        return _cannot("none", unfit)
    ends = [(run["capacity"]["highest_pass_per_s"], run["capacity"]["lowest_fail_per_s"]) for run in (first, second)]
    if all(low and high for low, high in ends):
        return _by_capacity(*ends)
    return _by_p99(first["probes"], second["probes"])


def compare_pairs(
    pairs: Sequence[tuple[float, float]], *, higher_is_better: bool = True, beside: int = 1, known_to: float = 1.0
) -> Versus:
    """Compare figures that were taken in turn (A B B A …): the ratio of second to first, with its interval.

    The ratio is the geometric mean of the pairs', the interval Student's, on logarithms. ``beside``: how many figures
    are compared together; the intervals of all of them hold at once (Bonferroni), so that one of many is not found to
    differ by chance. ``known_to``: a ratio is itself known only to so many times, up and down; two searches that try the
    same rates agree to the last digit and know no more for it. Raises ValueError for a figure of 0 or less.
    """
    if any(value <= 0 for pair in pairs for value in pair):
        raise ValueError("a figure of 0 or less: its ratio says nothing; leave the pair out")
    if len(pairs) < LEAST_PAIRS:
        return _cannot("pairs", f"{len(pairs)} pairs are too few, at least {LEAST_PAIRS}")
    logs = np.log([later / earlier for earlier, later in pairs])
    middle = float(np.mean(logs))
    half = quantile(1 - FALSE_ALARMS / beside, len(logs) - 1) * float(np.std(logs, ddof=1)) / len(logs) ** 0.5
    half += float(np.log(known_to))
    ends = (float(np.exp(middle - half)), float(np.exp(middle + half)))
    return _versus("pairs", float(np.exp(middle)), *ends, higher_is_better=higher_is_better)


def _by_capacity(first: tuple[float, float], second: tuple[float, float]) -> Versus:
    """The true limit lies anywhere between the ends: only intervals that do not meet differ."""
    low, high = second[0] / first[1], second[1] / first[0]
    ratio = ((second[0] * second[1]) / (first[0] * first[1])) ** 0.5
    return _versus("capacity", ratio, low, high, higher_is_better=True)


def _by_p99(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> Versus:
    """Logarithms of p99 ratios over every common rate, each resampled within its own windows."""
    ratios, drawn = [], []
    generator = _generator()
    for rate in _common_rates(first, second):
        sides = [_at(probes, rate) for probes in (first, second)]
        samples = [_resampled_p99(windows, generator) for windows in sides]
        if samples[0] is not None and samples[1] is not None:
            ratios.append(np.median(_p99s(sides[1])) / np.median(_p99s(sides[0])))
            drawn.append(np.log(samples[1] / samples[0]))
    if not ratios:
        return _cannot("p99", f"no common rate with {LEAST_WINDOWS} windows or histograms; run both at the same --rate")
    low, high = np.exp(np.percentile(np.mean(drawn, axis=0), LEVELS))
    return _versus("p99", float(np.exp(np.mean(np.log(ratios)))), float(low), float(high), higher_is_better=False)


def _resampled_p99(windows: Sequence[Mapping[str, Any]], generator: np.random.Generator) -> NDArray[np.float64] | None:
    """Medians of p99s, resampled over windows; of one window, its p99 resampled over its requests."""
    if len(windows) >= LEAST_WINDOWS:
        p99s = _p99s(windows)
        drawn: NDArray[np.float64] = np.median(p99s[generator.integers(0, len(p99s), (RESAMPLES, len(p99s)))], axis=1)
        return drawn
    histograms = [window["latency_histogram"] for window in windows if window.get("latency_histogram")]
    if not histograms or len(histograms) < len(windows):
        return None
    counts: dict[int, int] = {}
    for histogram in histograms:
        for bucket, times in histogram["buckets"]:
            counts[bucket] = counts.get(bucket, 0) + times
    total = sum(counts.values())
    if not total:
        return None
    buckets = sorted(counts)
    times_ms = np.array([max(highest_of(bucket), 1) / 1000 for bucket in buckets])
    shares = np.array([counts[bucket] for bucket in buckets]) / total
    # The rank of the p99 in a resample is where the 99th part of it ends: drawn as a count, looked up once.
    below = generator.binomial(total, 0.99, RESAMPLES) / total
    at = np.minimum(np.searchsorted(np.cumsum(shares), below), len(buckets) - 1)
    return times_ms[at]


def _p99s(windows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.array([max(window["p99_ms"], 0.001) for window in windows])


def _common_rates(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[float]:
    return sorted({probe["rate_per_s"] for probe in first if probe["p99_ms"] and _at(second, probe["rate_per_s"])})


def _at(probes: Sequence[Mapping[str, Any]], rate: float) -> list[Mapping[str, Any]]:
    return [probe for probe in probes if probe["p99_ms"] and abs(probe["rate_per_s"] - rate) <= SAME_RATE * rate]


def _unfit(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Why two runs cannot be compared at all; empty when they can."""
    for name, run in (("first", first), ("second", second)):
        if run["exit_code"] not in USABLE_EXITS:
            return f"the {name} run gives no figure to compare (exit code {run['exit_code']})"
    for key, words in (("slo", "objectives"), ("endpoint", "kinds of endpoint"), ("model", "models")):
        if first[key] != second[key]:
            return f"they have different {words}: {first[key]} and {second[key]}"
    return ""


def _versus(basis: str, ratio: float, low: float, high: float, *, higher_is_better: bool) -> Versus:
    higher, lower = low > 1 + LEAST_EFFECT, high < 1 / (1 + LEAST_EFFECT)
    verdict = CANNOT_TELL
    if higher or lower:
        verdict = BETTER if higher is higher_is_better else WORSE
    named = {"capacity": "capacity", "p99": "p99", "pairs": "figure"}[basis]
    words = {BETTER: "The second is better", WORSE: "The second is worse", CANNOT_TELL: "Cannot tell"}[verdict]
    sentence = f"{words}: its {named} is {ratio:.3g} times the first's, {low:.3g} to {high:.3g} (95 %)."
    return Versus(verdict=verdict, basis=basis, ratio=ratio, low=low, high=high, sentence=sentence)


def _cannot(basis: str, why: str) -> Versus:
    return Versus(verdict=CANNOT_TELL, basis=basis, ratio=None, low=None, high=None, sentence=f"Cannot tell: {why}.")


def _generator() -> np.random.Generator:
    return np.random.default_rng(SEED)
