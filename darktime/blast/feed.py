"""Feeds Locust's table in bulk: one temporary StatsEntry a second, added to the entry and to the total.

One request event costs 4 µs in Locust, a second of a cohort in bulk 0.1 ms; totals, failures and requests a second
come out the same. ``events.request`` listeners hear nothing of it: the exact figures are in the cohort's own
histograms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locust.stats import StatsEntry, StatsError

from darktime.blast.histogram import Histogram, highest_of

if TYPE_CHECKING:
    from locust.env import Environment

    from darktime.blast.counts import Counts
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.offered import Second

EVENT_METHOD = "EVENT"
EVENT_NAME = "delivery"


class LocustFeed:
    """One environment and the name its requests are listed under."""

    def __init__(self, environment: Environment, method: str, name: str) -> None:
        self._environment = environment
        self.method = method
        self.name = name

    def second(self, second: Second) -> None:
        """List a second."""
        self._requests(second.at_s, second.counts)
        self._deliveries(second.at_s, second.deliveries)

    def _requests(self, at_s: int, counts: Counts) -> None:
        if not counts.requests:
            return
        self._extend(
            at_s,
            (self.method, self.name),
            counts.latency,
            count=counts.requests,
            failures=counts.failures,
            size=counts.bytes,
        )
        errors: dict[str, Any] = self._environment.stats.errors
        for reason, times in counts.reasons.items():
            key = StatsError.create_key(self.method, self.name, reason)
            error = errors.get(key)
            if error is None:
                error = errors[key] = StatsError(self.method, self.name, reason)
            error.occurred()
            error.occurrences += times - 1

    def _deliveries(self, at_s: int, deliveries: Deliveries) -> None:
        """Lost ones are its failures."""
        count = deliveries.delivered + deliveries.lost
        if count:
            self._extend(
                at_s,
                (EVENT_METHOD, EVENT_NAME),
                deliveries.latency,
                count=count,
                failures=deliveries.lost,
                size=deliveries.bytes,
            )

    def _extend(
        self, at_s: int, listed: tuple[str, str], latency: Histogram, *, count: int, failures: int, size: int
    ) -> None:
        method, name = listed
        stats = self._environment.stats  # read each time: Locust replaces it in workers, and its entries on reset
        entry: Any = StatsEntry(stats, name, method)  # annotated for whole milliseconds; fractions work, and are kept
        entry.num_requests = count
        entry.num_failures = failures
        entry.num_none_requests = count - latency.count
        entry.total_content_length = size
        entry.total_response_time = latency.sum_us / 1000
        entry.min_response_time = None if latency.min_us is None else latency.min_us / 1000
        entry.max_response_time = latency.max_us / 1000
        entry.response_times = _by_ms(latency)
        entry.num_reqs_per_sec = {at_s: count}
        entry.num_fail_per_sec = {at_s: failures} if failures else {}
        entry.start_time = at_s
        entry.last_request_timestamp = at_s + 1.0
        stats.get(name, method).extend(entry)
        stats.total.extend(entry)


def totals(environment: Environment) -> dict[str, int]:
    """What Locust has listed: its Aggregated row without the deliveries."""
    stats = environment.stats
    events = stats.get(EVENT_NAME, EVENT_METHOD)
    return {
        "requests": stats.total.num_requests - events.num_requests,
        "failures": stats.total.num_failures - events.num_failures,
    }


def _by_ms(latency: Histogram) -> dict[float, int]:
    """Locust's form: milliseconds to counts, in steps of three digits at the most, so that its table stays small."""
    times: dict[float, int] = {}
    for bucket, count in latency.buckets():
        key = float(f"{highest_of(bucket) / 1000:.3g}")
        times[key] = times.get(key, 0) + count
    if latency.overflow:
        key = float(f"{latency.max_us / 1000:.3g}")
        times[key] = times.get(key, 0) + latency.overflow
    return times
