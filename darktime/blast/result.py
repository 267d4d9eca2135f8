"""What a run found, probe by probe, and as a whole; JSON-able under schema_version 1. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from darktime.blast.growth import SHORTFALL_LIMIT, shortfall, still_needed_s, too_few
from darktime.blast.health import HEALTHY, is_clear, verdict
from darktime.blast.little import little_error, stationary
from darktime.blast.readings import read_all

if TYPE_CHECKING:
    from darktime.blast.offered import Offered
    from darktime.blast.readings import Reading
    from darktime.blast.slo import Slo

PASS, FAIL, UNDECIDED, GENERATOR = "pass", "fail", "undecided", "generator"
CONFIRM = "confirm"
# Only what is to be called a capacity must be long enough to show a queue; a rate that was asked for was held so long.
SEARCHING = frozenset({"double", "bisect", CONFIRM})
# What a reply that came says (its status) against what we found out by waiting. Of a failure, so many decide whose it is.
STATUS_REASON = "status_"
REFUSED_SHARE = 0.5
# Failures that took as long as anything may: no reply in time, whatever the limit.
SLOW_REASONS = ("timeout", "unfinished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One rate, offered for a while, and judged. Latency is the reply's, at a push endpoint the delivery's.

    Both from the planned time. ``outcome``: "pass", "fail", "undecided" (more data would tell) or "generator" (it says
    nothing about the instance). ``goodput_per_s``: answered well and within the limit on latency. ``clear``: a failure
    that is the instance's beyond doubt. ``little_error``: see ``little``; ``stationary`` is None where not judgeable.
    """

    rate_per_s: float
    achieved_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    errors: int
    requests: int
    deliveries_per_s: float | None
    lost: int
    passed: bool
    why: str
    health: str
    unsent: int  # planned, and never sent because every connection was busy to the end
    reasons: dict[str, int]
    outcome: str = ""
    stage: str = "hold"
    began_s: float = 0.0
    duration_s: float = 0.0
    thresholds: tuple[Reading, ...] = ()
    goodput_per_s: float = 0.0
    p999_ms: float | None = None
    clear: bool = False
    more_s: float | None = 0.0  # undecided: how much longer at this rate would decide it; None: no time would
    little_error: float | None = None
    stationary: bool | None = None
    in_flight_mean: float | None = None
    streams_open: int = 0
    workers: int = 1
    cpu_share: float = 0.0
    send_lag_p99_ms: float = 0.0
    loop_lag_max_ms: float = 0.0
    canary_p99_ms: float | None = None
    statuses: dict[str, int] | None = None
    latency_histogram: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastResult:
    """The whole run. ``exit_code``: 0, 3 (a threshold failed), 4 (generator-bound), 5 (inconclusive), 130."""

    schema_version: int = 1
    kind: str = "blast"
    name: str = "blast"
    command: str = ""
    version: str = ""
    seed: int | None = None
    host: dict[str, Any]
    instance: str
    endpoint: str
    model: str
    started: str
    duration_s: float
    slo: str
    thresholds: tuple[dict[str, Any], ...]
    probes: tuple[dict[str, Any], ...]
    capacity: dict[str, float | None]
    limit: str
    sentence: str
    totals: dict[str, int]
    statuses: dict[str, int]
    reasons: dict[str, int]
    latency: dict[str, float | None]
    spectrum: dict[str, list[list[float]]]
    heat: dict[str, Any] | None
    series: tuple[dict[str, Any], ...]
    streams: dict[str, Any] | None
    overload: dict[str, Any] | None
    health: dict[str, Any]
    calibration: dict[str, Any] | None
    canary: dict[str, Any] | None
    workers: tuple[dict[str, Any], ...]
    instance_metrics: list[dict[str, Any]] | None
    instance_metrics_ignored: str = ""  # why there are none, or no more
    cold_start: dict[str, Any] | None = None  # where the beginning of a held rate was left out of what is judged
    connection_ceiling: dict[str, Any] | None = None  # where the instance takes only so many connections
    findings: tuple[dict[str, Any], ...]
    locust: dict[str, int]
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """As it is saved."""
        return asdict(self)


def judge(offered: Offered, slo: Slo, *, strict: bool = False, histogram: bool = False) -> Probe:
    """Whether the objective was met, and why not.

    ``strict``: a figure that lies within its limit but rests on too few requests is undecided, not passed.
    ``histogram``: keep the latency's whole histogram with the probe, for a later comparison.
    """
    counts, deliveries, health = offered.counts, offered.deliveries, offered.health
    latency = offered.latency()
    answered = counts.requests - counts.failures
    readings = read_all(offered, slo, strict=strict)
    error = little_error(offered)
    outcome, why = _outcome(offered, readings, answered, error)
    refused = _refused(offered, readings)
    slow = latency.count_above(round(slo.good_ms * 1000)) / latency.count if latency.count else 1.0
    bound = verdict(
        health,
        slo_ms=slo.limit_ms,
        good_ms=slo.good_ms,
        slow_share=slow,
        passed=outcome != FAIL,
        refused=refused,
    )
    if deliveries is not None and deliveries.differed:
        bound = f"generator-bound: its two readers differ on {deliveries.differed} of {deliveries.checked} events"
    if bound != HEALTHY:
        outcome, why = GENERATOR, bound
    in_time = answered if offered.answered_in_time is None else offered.answered_in_time
    achieved_per_s = in_time / offered.duration_s
    return Probe(
        rate_per_s=round(achieved_per_s if offered.rate_per_s is None else offered.rate_per_s, 3),
        achieved_per_s=round(achieved_per_s, 3),
        p50_ms=latency.percentile_ms(50),
        p90_ms=latency.percentile_ms(90),
        p99_ms=latency.percentile_ms(99),
        p999_ms=latency.percentile_ms(99.9),
        max_ms=latency.percentile_ms(100),
        errors=counts.failures,
        requests=counts.requests,
        deliveries_per_s=round(deliveries.delivered / offered.duration_s, 3) if deliveries else None,
        lost=deliveries.lost if deliveries else 0,
        passed=outcome == PASS,
        why=why or "held",
        health=bound,
        unsent=offered.unsent,
        reasons=dict(counts.reasons),
        outcome=outcome,
        stage=offered.stage,
        began_s=round(offered.began_s, 3),
        duration_s=round(offered.duration_s, 3),
        thresholds=readings,
        goodput_per_s=round(_good(offered, slo, answered) / offered.duration_s, 3),
        clear=outcome == FAIL and is_clear(health, good_ms=slo.good_ms, refused=refused),
        more_s=_more_s(offered, readings),
        little_error=None if error is None else round(error, 4),
        stationary=stationary(error),
        in_flight_mean=offered.in_flight_mean,
        streams_open=offered.streams_open,
        workers=offered.workers,
        cpu_share=round(health.cpu_share, 3),
        send_lag_p99_ms=round(health.send_lag_p99_ms, 3),
        loop_lag_max_ms=round(health.loop_lag_max_ms, 3),
        canary_p99_ms=health.canary_p99_ms,
        statuses=dict(counts.statuses),
        latency_histogram=latency.to_dict() if histogram else None,
    )


def _outcome(offered: Offered, readings: tuple[Reading, ...], answered: int, error: float | None) -> tuple[str, str]:
    """The instance's own outcome, before the generator's health is looked at."""
    if not offered.latency().count:
        return FAIL, "nothing was answered"
    if offered.streams_never_served:
        wanted = offered.streams_open + offered.streams_never_served
        return FAIL, f"{offered.streams_never_served:,} of {wanted:,} streams were turned away"
    # Errors first: where there are any, the times are those of errors.
    cold = offered.cold_start
    if cold is not None and cold.rest is None and all(one.ok is not False for one in readings if one.unit != "ms"):
        return UNDECIDED, cold.sentence(offered.whole_latency())
    missed = sorted((one for one in readings if one.ok is False), key=lambda one: one.unit == "ms")
    if missed:
        return FAIL, missed[0].why
    if offered.rate_per_s is not None and answered < (1 - SHORTFALL_LIMIT) * offered.planned:
        return FAIL, f"{answered / max(offered.planned, 1):.0%} of the plan answered: a queue grows"
    if (of_a_queue := _queue(offered)) is not None:
        return of_a_queue
    undecided = next((one for one in readings if one.ok is None), None)
    if undecided is not None:
        return UNDECIDED, undecided.why
    # In the closed model so many are under way by its nature: the law tells nothing of the instance there.
    if offered.rate_per_s is not None and stationary(error) is False:
        return UNDECIDED, f"not stationary: rate x time is {error:.0%} from what was under way"
    return PASS, ""


def _queue(offered: Offered) -> tuple[str, str] | None:
    """The outcome where a queue grew, or where a search cannot tell by this probe whether one would; None otherwise."""
    spans, searching = offered.spans, offered.stage in SEARCHING
    if spans is not None and (short := shortfall(spans, offered.duration_s)) > SHORTFALL_LIMIT:
        return FAIL, f"times grew by {1000 * short:,.0f} ms a second: {short:.0%} of what came went into a queue"
    if searching and spans is not None and still_needed_s(spans, offered.duration_s):
        return UNDECIDED, f"{offered.duration_s:g} s are too short to see whether a queue grows"
    if searching and spans is not None and too_few(spans):
        return UNDECIDED, f"{spans.first.count + spans.second.count} replies are too few to see whether a queue grows"
    if searching and _fewer_came(offered):
        came = offered.planned / offered.duration_s
        return UNDECIDED, f"by chance only {came:,.1f}/s came: too few for a rate of {offered.rate_per_s:,.1f}/s"
    return None


def _fewer_came(offered: Offered) -> bool:
    """Whether random arrivals were so much fewer than the rate to be tried that to hold them says nothing about it."""
    if offered.rate_per_s is None:
        return False
    return offered.planned + 1 < (1 - SHORTFALL_LIMIT) * offered.rate_per_s * offered.duration_s


def _more_s(offered: Offered, readings: tuple[Reading, ...]) -> float | None:
    """By how much to extend it until the last undecided threshold is decided, if all goes on as it went."""
    more = [one.more for one in readings]
    counted = max(offered.latency().count, 1)
    if None in more:
        return None
    more_s = offered.duration_s * max((one or 0 for one in more), default=0) / counted
    to_see_s = still_needed_s(offered.spans, offered.duration_s) if offered.spans is not None else 0.0
    return round(max(more_s, to_see_s), 3)


def _refused(offered: Offered, readings: tuple[Reading, ...]) -> bool:
    """Whether it failed by errors, most of them replies: the instance's own word, however busy who asked was.

    Or by streams that it did not take.
    """
    if offered.streams_never_served:
        return True
    if all(one.ok is not False for one in readings if one.text.startswith("errors ")):
        return False
    counts = offered.counts
    spoken = sum(times for reason, times in counts.reasons.items() if reason.startswith(STATUS_REASON))
    return spoken > REFUSED_SHARE * counts.failures if counts.failures else False


def _good(offered: Offered, slo: Slo, answered: int) -> float:
    """How many requests (publishes) were answered well and in time; of streams, by their share of timely events."""
    counts, deliveries, limit_us = offered.counts, offered.deliveries, round(slo.useful_ms * 1000)
    if deliveries is not None:
        owed = deliveries.delivered + deliveries.lost
        timely = max(deliveries.delivered - deliveries.latency.count_above(limit_us), 0)
        return answered * timely / owed if owed else 0.0
    slow = counts.latency.count_above(limit_us)
    slow -= min(sum(counts.reasons.get(reason, 0) for reason in SLOW_REASONS), slow)
    return max(answered - slow, 0)
