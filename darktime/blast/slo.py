"""What an instance must hold: thresholds on percentiles of times, on shares and on counts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from darktime.blast.wilson import least_count
from darktime.errors import UsageError

DEFAULT = "p99<200ms,errors<0.1%"
# Times by the name they have in an objective; plain percentiles are of what the run is about: replies or deliveries.
LATENCY = "latency"
TIMES = (LATENCY, "service", "connect", "first_event", "between", "spread", "reconnect")
# Those that run from a planned time, so that a late generator would be inside them.
PLANNED_TIMES = (LATENCY, "first_event")
SHARES = ("errors", "lost", "dup", "reordered")
STREAM_METRICS = ("first_event", "between", "spread", "reconnect", "lost", "dup", "reordered")
MAX = 100.0  # the percentile that nothing may exceed
# Of whom an objective names no latency at all.
DEFAULT_LIMIT_MS = 200.0
DEFAULT_ERRORS_PERCENT = 0.1
MOST_MS = 1e9

_UNITS_MS = {"us": 0.001, "µs": 0.001, "ms": 1.0, "s": 1000.0}
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_TIME = re.compile(
    rf"(?:(?P<metric>[a-z_]+?)_)?(?:p(?P<percent>\d{{1,3}}(?:\.\d{{1,4}})?)|(?P<max>max))"
    rf"\s*(?P<sign><=?)\s*(?P<limit>{_NUMBER})\s*(?P<unit>us|µs|ms|s)"
)
_SHARE = re.compile(rf"(?P<metric>[a-z]+)\s*(?:(?P<sign><=?)\s*(?P<limit>{_NUMBER})\s*%|=\s*(?P<none>0)\s*%?)")
_ALLOWED = (
    "percentiles of times (p50 p90 p99 p99.9 max, of the reply or delivery, or with "
    f"{' '.join(name + '_' for name in TIMES[1:])} before them) < or <= N us, ms or s; "
    f"{' '.join(SHARES)} < or <= N % or = 0"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One condition. ``percentile`` is None for shares; ``limit`` is in ms, or in percent; ``sign`` is <, <= or =."""

    metric: str
    percentile: float | None = None
    sign: str = "<"
    limit: float = 0.0

    @property
    def unit(self) -> str:
        """The limit's: "ms", "%" or, where none may occur at all, nothing."""
        if self.percentile is not None:
            return "ms"
        return "" if self.sign == "=" else "%"

    @property
    def allowed_share(self) -> float:
        """The share of all that may miss it: 0.01 for a p99."""
        if self.percentile is not None:
            return round(1 - self.percentile / 100, 9)
        return self.limit / 100

    @property
    def highest_us(self) -> int:
        """The longest time, in whole µs, that still meets a threshold on times."""
        limit_us = round(self.limit * 1000)
        return limit_us - 1 if self.sign == "<" else limit_us

    def __str__(self) -> str:
        name = self.metric
        if self.percentile is not None:
            mark = "max" if self.percentile == MAX else f"p{_plain(self.percentile)}"
            name = mark if self.metric == LATENCY else f"{self.metric}_{mark}"
        return f"{name} {self.sign} {_plain(self.limit)}{f' {self.unit}' if self.unit else ''}"


_DEFAULT_LATENCY = Threshold(metric=LATENCY, percentile=99.0, limit=DEFAULT_LIMIT_MS)
_DEFAULT_ERRORS = Threshold(metric="errors", limit=DEFAULT_ERRORS_PERCENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Thresholds that must all hold, in the order in which they were named. Written out, it can be read again."""

    thresholds: tuple[Threshold, ...] = (_DEFAULT_LATENCY, _DEFAULT_ERRORS)

    def __str__(self) -> str:
        return ", ".join(map(str, self.thresholds))

    @property
    def limit_ms(self) -> float:
        """The strictest limit on a time that runs from the plan: what a late generator would break first."""
        limits = [one.limit for one in self.thresholds if one.percentile is not None and one.metric in PLANNED_TIMES]
        return min(limits, default=DEFAULT_LIMIT_MS)

    @property
    def good_ms(self) -> float:
        """A reply that took longer is of no use: the limit of the highest percentile of the latency."""
        limits = [(one.percentile, one.limit) for one in self._latencies]
        return max(limits, default=(MAX, DEFAULT_LIMIT_MS))[1]

    @property
    def useful_ms(self) -> float:
        """What goodput is counted up to: as ``good_ms``, or any time where an objective is about other times alone."""
        other = any(one.percentile is not None for one in self.thresholds) and not self._latencies
        return MOST_MS if other else self.good_ms

    @property
    def only_for_streams(self) -> tuple[Threshold, ...]:
        """Those that plain HTTP cannot meet or miss: a run against it is to refuse them."""
        return tuple(one for one in self.thresholds if one.metric in STREAM_METRICS)

    def of(self, metric: str) -> Threshold | None:
        """The first threshold on ``metric``."""
        return next((one for one in self.thresholds if one.metric == metric), None)

    @property
    def requests_needed(self) -> int:
        """With fewer, all of them good, not every threshold can be decided: what a strict judgement needs."""
        return max((least_count(one.allowed_share) for one in self.thresholds if one.allowed_share), default=1)

    @property
    def _latencies(self) -> list[Threshold]:
        return [one for one in self.thresholds if one.metric == LATENCY]


def parse_slo(text: str) -> Slo:
    """Read ``p99<200ms,errors<0.1%`` and the like. Raises UsageError.

    Errors that are not named stay at their default, because an instance that fails fast holds nothing; so does the
    p99 where no time is named at all.
    """
    thresholds: list[Threshold] = []
    for part in text.split(","):
        threshold = _parse_part(part.strip(), text)
        if any((one.metric, one.percentile) == (threshold.metric, threshold.percentile) for one in thresholds):
            raise _refused(text, part, "is the second limit for the same figure")
        thresholds.append(threshold)
    if all(one.percentile is None for one in thresholds):
        thresholds.insert(0, _DEFAULT_LATENCY)
    if all(one.metric != "errors" for one in thresholds):
        thresholds.append(_DEFAULT_ERRORS)
    return Slo(thresholds=tuple(thresholds))


def _parse_part(part: str, text: str) -> Threshold:
    match = _TIME.fullmatch(part)
    if match is not None:
        metric = match["metric"] or LATENCY
        percentile = MAX if match["max"] else float(match["percent"])
        limit = float(_plain(float(match["limit"]) * _UNITS_MS[match["unit"]]))
        if metric not in TIMES:
            raise _refused(text, part, f"names no time ({metric})")
        if not 0 < percentile <= MAX:
            raise _refused(text, part, f"has a percentile of {percentile:g}: it lies above 0 and not above 100")
        if limit < 0.001:  # noqa: PLR2004 - below the resolution of every histogram
            raise _refused(text, part, "has a limit below 1 us")
        return Threshold(metric=metric, percentile=percentile, sign=match["sign"], limit=limit)
    match = _SHARE.fullmatch(part)
    if match is None:
        raise _refused(text, part, "cannot be read")
    if match["metric"] not in SHARES:
        raise _refused(text, part, f"names no share ({match['metric']})")
    if match["none"]:
        return Threshold(metric=match["metric"], sign="=")
    limit = float(match["limit"])
    if not 0 < limit < 100:  # noqa: PLR2004
        raise _refused(text, part, f"has a limit of {limit:g} %: it lies between 0 and 100; for none at all write = 0")
    return Threshold(metric=match["metric"], sign=match["sign"], limit=limit)


def _refused(text: str, part: str, why: str) -> UsageError:
    return UsageError(f"--slo {text!r}: {part.strip()!r} {why}. Allowed: {_ALLOWED}. Write it like {DEFAULT!r}")


def _plain(number: float) -> str:
    """Without an exponent and without noise of binary fractions: 200, 0.1, 99.9."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
