"""Figures as a run would count them, computed: instances that are formulas, and a clock that is a number."""

from random import Random

from darktime.blast.counts import Counts
from darktime.blast.deliveries import Deliveries
from darktime.blast.growth import Spans, Times
from darktime.blast.health import Health
from darktime.blast.histogram import Histogram
from darktime.blast.offered import Offered


def health(**given):
    return Health(**{"send_lag_p99_ms": 0.5, "loop_lag_max_ms": 4.0, "cpu_share": 0.3, "achieved_share": 1.0, **given})


def times(*pairs):
    """A histogram of (milliseconds, how often)."""
    histogram = Histogram()
    for ms, often in pairs:
        if often:
            histogram.add(round(ms * 1000), often)
    return histogram


def offered(*pairs, failures=0, reason="status_5xx", rate=None, duration=1.0, deliveries=None, **given):
    """A probe of plain HTTP with these times; the failures are among them, or had none."""
    latency = times(*pairs)
    requests = max(latency.count, failures)
    counts = Counts(requests=requests, failures=failures, latency=latency)
    if failures:
        counts.reasons[reason] = failures
    given.setdefault("health", health())
    given.setdefault("planned", requests)
    given.setdefault("unsent", 0)
    return Offered(
        rate_per_s=requests / duration if rate is None else rate,
        duration_s=duration,
        counts=counts,
        deliveries=deliveries,
        **given,
    )


def heard(*pairs, **given):
    """Deliveries with these times."""
    latency = times(*pairs)
    return Deliveries(delivered=latency.count, latency=latency, **given)


def queue(rate, duration, *, service_s, stage="hold", drain_s=1.0, seed=1, even=False, wavers=0.0, bound=health()):  # noqa: B008 - frozen
    """One worker that takes ``service_s`` a request (by chance a share of ``wavers`` more or less), first come first served.

    At Poisson arrivals, or even ones.
    """
    random = Random(seed)

    def gap():
        return 1 / rate if even else random.expovariate(rate)

    counts, free_at, at, planned = Counts(), 0.0, 0.0 if even else gap(), 0
    under_way, in_time = 0.0, 0
    came = {"first": Histogram(), "second": Histogram(), "after": Histogram()}
    while at < duration:
        planned += 1
        free_at = max(free_at, at) + (service_s * random.uniform(1 - wavers, 1 + wavers) if wavers else service_s)
        took = min(free_at, duration + drain_s) - at
        under_way += min(free_at, duration) - at
        counts.latency.add(round(took * 1e6))
        ended = at + took
        span = "after" if ended >= duration else "first" if ended < duration / 2 else "second"
        came[span].add(round(took * 1e6))
        in_time += span != "after"
        if free_at > duration + drain_s:
            counts.fail("unfinished")
        else:
            counts.requests += 1
            counts.service.add(round(took * 1e6))
        at += gap()
    return Offered(
        rate_per_s=rate,
        duration_s=duration,
        planned=planned,
        unsent=0,
        health=bound,
        stage=stage,
        in_flight_mean=under_way / duration,
        answered_in_time=in_time,
        spans=Spans(**{name: Times.of(histogram) for name, histogram in came.items()}),
        counts=counts,
    )
