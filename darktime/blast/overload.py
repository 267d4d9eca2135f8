"""Names how an instance behaves beyond its capacity, and whether it comes back by itself afterwards. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.result import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.offered import Second
    from darktime.blast.result import Probe

GRACEFUL, DEGRADING, COLLAPSE = "graceful", "degrading", "collapse"
# It served well enough while it was too much, and did not come back: nobody would call that graceful.
METASTABLE = "metastable"
# The generator was the limit: how the instance takes it was not seen.
UNKNOWN = "unknown"
GRACEFUL_FROM = 0.9
# Half of the peak, and a twentieth for the noise of measuring it: goodput that halves is a collapse.
COLLAPSE_BELOW = 0.5 * 1.05
# Recovered: so many seconds in a row are good. A single one may be luck.
GOOD_SECONDS = 3
# A p99 of one second's requests scatters: twice the baseline's, or 10 ms more, is the same.
BASELINE_FACTOR = 2.0
BASELINE_EXTRA_MS = 10.0
ANSWERED_SHARE = 0.95
# Below, not to have recovered yet is no verdict.
LEAST_SPAN_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """``ratio``: goodput at the highest overload, ``factor`` times the capacity, against the peak.

    ``ratio`` is None where the generator was the limit. ``recovered_after_s``: seconds at the low rate until it was as
    before; None if it was not within the span, or not looked at. ``metastable``: the overload is over and the instance
    stays down; None if that could not be seen.
    """

    verdict: str
    ratio: float | None
    recovered_after_s: float | None
    metastable: bool | None
    sentence: str
    factor: float


def at_capacity(probes: Sequence[Probe], capacity_per_s: float) -> Probe:
    """The last probe that was held there, which overload is held against: what passed last may be a look well below.

    Raises ValueError where nothing was held.
    """
    held = [probe for probe in reversed(probes) if probe.passed]
    return min(held, key=lambda probe: abs(probe.rate_per_s - capacity_per_s))


def judge_overload(
    baseline: Probe,
    beyond: Sequence[Probe],
    recovery: Sequence[Second],
    *,
    low: Probe | None = None,
    allowed: bool = True,
) -> Overload:
    """``baseline``: the probe at capacity; ``beyond``: those above it; ``recovery``: the seconds at half of it.

    ``low`` is the probe of those seconds; ``allowed`` tells whether the rates were as far beyond as they were to be. Where
    the generator was the limit no kind is named. Raises ValueError without a probe beyond, or when nothing was answered
    well in any.
    """
    if not beyond:
        raise ValueError("no probe beyond capacity: nothing can be said about overload")
    peak = max(probe.goodput_per_s for probe in (baseline, *beyond) if probe.outcome != GENERATOR or probe is baseline)
    if peak <= 0:
        raise ValueError("no goodput in any probe: there is no peak to compare with")
    highest = max(beyond, key=lambda probe: probe.rate_per_s)
    factor = highest.rate_per_s / baseline.rate_per_s
    where = f"At {highest.rate_per_s:,.0f}/s, {factor:.2g} times the capacity{'' if allowed else ' (--max-rate)'},"
    bound = highest.outcome == GENERATOR
    ratio = None if bound else highest.goodput_per_s / peak
    seconds = sorted(recovery, key=lambda second: second.at_s)
    blind = low is not None and low.outcome == GENERATOR
    after = None if blind else _recovered_after(seconds, baseline.p99_ms)
    metastable = None if blind else after is None and len(seconds) >= LEAST_SPAN_S
    verdict = _kind(ratio, metastable=bool(metastable))
    if ratio is None:
        sentence = f"{where} the generator was the limit, so no kind of overload is named ({highest.health})"
    elif verdict == METASTABLE:
        sentence = f"{where} {ratio:.0%} of the best goodput is left, yet it does not come back"
    else:
        sentence = f"{where} {ratio:.0%} of the best goodput is left: {verdict}"
    aftermath = _aftermath(after, len(seconds), metastable=bool(metastable))
    if low is not None and blind:
        aftermath = f"whether it recovers was not seen, for at the low rate the generator was the limit ({low.health})"
    return Overload(
        verdict=verdict,
        ratio=None if ratio is None else round(ratio, 4),
        recovered_after_s=after,
        metastable=metastable,
        sentence=f"{sentence}; {aftermath}.",
        factor=round(factor, 3),
    )


def _kind(ratio: float | None, *, metastable: bool) -> str:
    if ratio is None:
        return UNKNOWN
    if ratio >= GRACEFUL_FROM:
        return METASTABLE if metastable else GRACEFUL
    return COLLAPSE if ratio < COLLAPSE_BELOW else DEGRADING


def _aftermath(after: float | None, span: int, *, metastable: bool) -> str:
    if not span:
        return "whether it recovers was not looked at"
    if after is not None:
        return f"afterwards it was as before within {after:.0f} s"
    return f"no recovery in {span} s at the low rate{': metastable' if metastable else ', too short to tell'}"


def _recovered_after(seconds: Sequence[Second], baseline_ms: float | None) -> float | None:
    """The end of the last bad second, where good ones in a row follow it."""
    good = 0
    for at, second in enumerate(seconds):
        good = good + 1 if _is_good(second, baseline_ms) else 0
        if good == GOOD_SECONDS:
            return float(at + 1 - GOOD_SECONDS)
    return None


def _is_good(second: Second, baseline_ms: float | None) -> bool:
    counts, deliveries = second.counts, second.deliveries
    latency = deliveries.latency if deliveries.latency.count else counts.latency
    p99_ms = latency.percentile_ms(99)
    well = counts.requests - counts.failures
    if p99_ms is None or well < ANSWERED_SHARE * second.planned or counts.failures > (1 - ANSWERED_SHARE) * well:
        return False
    return baseline_ms is None or p99_ms <= max(baseline_ms * BASELINE_FACTOR, baseline_ms + BASELINE_EXTRA_MS)
