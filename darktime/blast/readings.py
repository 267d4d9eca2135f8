"""Holds every threshold against what was counted: the figure seen, and whether it is met, missed or not decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darktime.blast.slo import LATENCY, Threshold
from darktime.blast.wilson import below, still_needed

if TYPE_CHECKING:
    from darktime.blast.histogram import Histogram
    from darktime.blast.offered import Offered
    from darktime.blast.slo import Slo

_WORDS = {"dup": "duplicated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One threshold. ``seen`` in ``unit`` ("ms", "%", or "" for a count), None when nothing of it was measured.

    ``ok`` is None where the data does not decide; ``why`` says what was missed or what is missing.
    """

    text: str
    seen: float | None
    unit: str
    ok: bool | None
    why: str = ""
    more: int | None = 0  # requests (deliveries) more that would decide it, as it stands; None: none would
    sure: bool = True  # False: it lies within the limit, and too few were measured to be certain of it


def read_all(offered: Offered, slo: Slo, *, strict: bool = False) -> tuple[Reading, ...]:
    """Every threshold of ``slo``; of streams also what may be lost, which is the limit on errors if not named.

    Not ``strict``: what is not decided counts as met where the figure itself lies within the limit.
    """
    thresholds = list(slo.thresholds)
    errors = slo.of("errors")
    if offered.deliveries is not None and errors is not None and slo.of("lost") is None:
        thresholds.append(Threshold(metric="lost", sign=errors.sign, limit=errors.limit))
    return tuple(_read(threshold, offered, strict=strict) for threshold in thresholds)


def _read(threshold: Threshold, offered: Offered, *, strict: bool) -> Reading:
    percentile = threshold.percentile
    if percentile is None:
        hits, count = _shares(threshold.metric, offered)
        share = 100 * hits / count if count else None
        seen = float(hits) if threshold.sign == "=" and count else share
        within = share is not None and (share <= threshold.limit or hits == 0)
        named = _most(offered) if threshold.metric == "errors" and hits else ""
        figure = (
            f"{_figure(share)} % {_WORDS.get(threshold.metric, threshold.metric)} ({hits:,} of {count:,}){named}"
            if count
            else ""
        )
    else:
        times = _times(threshold.metric, offered)
        count = times.count if times is not None else 0
        hits = times.count_above(threshold.highest_us) if times is not None else 0
        seen = times.percentile_ms(percentile) if times is not None else None
        within = seen is not None and round(seen * 1000) <= threshold.highest_us
        figure = f"{str(threshold).split(' ', 1)[0]} {_figure(seen)} ms"
    decided = below(hits, count, threshold.allowed_share)
    unsure_ms = _unsure_ms(threshold, offered)
    if unsure_ms and seen is not None and abs(seen - threshold.limit) <= unsure_ms:
        why = f"{figure}, and the clocks of the hosts agree to ± {_figure(unsure_ms)} ms only"
        return Reading(text=str(threshold), seen=seen, unit=threshold.unit, ok=None, why=why, more=None, sure=False)
    ok = True if decided is None and within and not strict else decided
    more = still_needed(hits, count, threshold.allowed_share) if ok is None else 0
    if not count:
        why = f"nothing was measured for {threshold}"
    elif ok is False:
        why = figure
    else:
        why = "" if ok else f"{figure}: {_missing(count, more, threshold)}"
    return Reading(
        text=str(threshold), seen=seen, unit=threshold.unit, ok=ok, why=why, more=more, sure=decided is not None
    )


def _unsure_ms(threshold: Threshold, offered: Offered) -> float:
    """How far a time may be off because it was taken from one machine's clock to another's."""
    heard = offered.deliveries
    crossed = threshold.metric == LATENCY and heard is not None and heard.from_others and not heard.first_event.count
    return offered.clock_error_ms if crossed else 0.0


def _missing(count: int, more: int | None, threshold: Threshold) -> str:
    if more is None:
        return f"it lies on the limit of {threshold}"
    return f"{count:,} do not decide {threshold}, about {more:,} more would"


def _shares(metric: str, offered: Offered) -> tuple[int, int]:
    """How many missed, of how many."""
    deliveries = offered.deliveries
    if metric == "errors":
        return offered.counts.failures, offered.counts.requests
    if deliveries is None:
        return 0, 0
    owed = deliveries.delivered + deliveries.lost
    if metric == "lost":
        return deliveries.lost, owed
    # A copy too many is no delivery: there may be more of them than of those.
    hits = deliveries.duplicated if metric == "dup" else deliveries.reordered
    return hits, max(deliveries.delivered, hits)


def _times(metric: str, offered: Offered) -> Histogram | None:
    deliveries = offered.deliveries
    if metric == LATENCY:
        return offered.latency()
    if metric == "service":
        return offered.counts.service
    if deliveries is None:
        return offered.counts.connect if metric == "connect" else None
    times = {
        "connect": deliveries.connect,
        "reconnect": deliveries.reconnect,
        "first_event": deliveries.first_event,
        "between": deliveries.between,
        "spread": deliveries.spread,
    }
    return times.get(metric)


def _most(offered: Offered) -> str:
    reasons = offered.counts.reasons
    return f", most of them {max(reasons, key=lambda reason: reasons[reason])}" if reasons else ""


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits either way
