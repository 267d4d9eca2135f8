"""The server's own figures, as plain numbers while it runs and as Prometheus text when asked."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FANOUT_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Counters:
    """What the loop counts: plain attributes, because counting must cost next to nothing.

    Attributes:
        deliveries: events by subscribers, written or queued.
        sends: system calls that fan-out made, to see how much coalescing saves.
        dropped: subscribers that the server had to drop, by reason: slow, stalled, reset.
        ended: subscribers that ended as they should, by reason: left, ttl, deleted, shutdown.
        requests: by route and status.
        holds: how often a client's requests had to wait until fan-out had caught up.
        closed_clients: connections closed while asking, by reason: timeout, unread, reset.
        fanout: observations by bucket of ``FANOUT_BUCKETS_S``, and one beyond.
    """

    def __init__(self) -> None:
        self.deliveries = 0
        self.holds = 0
        self.sends = 0
        self.dropped = dict.fromkeys(("slow", "stalled", "reset"), 0)
        self.ended = dict.fromkeys(("left", "ttl", "deleted", "shutdown"), 0)
        self.closed_clients = dict.fromkeys(("timeout", "unread", "reset"), 0)
        self.requests: dict[tuple[str, int], int] = {}
        self.fanout = [0] * (len(FANOUT_BUCKETS_S) + 1)
        self.fanout_sum_s = 0.0

    def request(self, route: str, status: int) -> None:
        """One request was answered."""
        self.requests[route, status] = self.requests.get((route, status), 0) + 1

    def fanned_out(self, seconds: float) -> None:
        """One pass ended, that long after the first of its events was taken in."""
        self.fanout[bisect_left(FANOUT_BUCKETS_S, seconds)] += 1
        self.fanout_sum_s += seconds


class Exporter:
    """Prometheus text out of the counters and of what ``gauges`` and ``totals`` tell when asked.

    Args:
        counters: the loop's own.
        gauges: name (without the prefix ``realtime_push_``) and value of what goes up and down.
        totals: the same for what only goes up and is counted elsewhere.
    """

    def __init__(
        self, counters: Counters, gauges: Callable[[], dict[str, float]], totals: Callable[[], dict[str, float]]
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing: keeps registering from collecting before the server runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics, for the registry."""
        counters = self._counters
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"realtime_push_{name}", _HELP[name], value)
        totals = {
            **self._totals(),
            "deliveries": counters.deliveries,
            "sends": counters.sends,
            "holds": counters.holds,
        }
        for name, value in totals.items():
            yield CounterMetricFamily(f"realtime_push_{name}", _HELP[name], value)
        for name, by_reason in (
            ("dropped_subscribers", counters.dropped),
            ("ended_subscribers", counters.ended),
            ("closed_clients", counters.closed_clients),
        ):
            family = CounterMetricFamily(f"realtime_push_{name}", _HELP[name], labels=["reason"])
            for reason, value in by_reason.items():
                family.add_metric([reason], value)
            yield family
        requests = CounterMetricFamily("realtime_push_requests", _HELP["requests"], labels=["route", "status"])
        for (route, status), value in counters.requests.items():
            requests.add_metric([route, str(status)], value)
        yield requests
        yield self._fanout()

    def _fanout(self) -> Metric:
        seen = 0
        buckets = []
        for bound, count in zip((*map(str, FANOUT_BUCKETS_S), "+Inf"), self._counters.fanout, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        family = HistogramMetricFamily("realtime_push_fanout_seconds", _HELP["fanout_seconds"])
        family.add_metric([], buckets, self._counters.fanout_sum_s)
        return family


_HELP: Final = {
    "subscribers": "Subscribers now.",
    "channels": "Channels now.",
    "connections": "Open connections now, subscribers among them.",
    "stored_messages": "Messages that can be replayed now.",
    "stored_bytes": "Bytes of messages that can be replayed now.",
    "waiting_bytes": "Bytes of messages that wait for a fan-out pass now.",
    "outbox_bytes": "Bytes that wait for clients who do not read fast enough now.",
    "published": "Messages taken in.",
    "evicted_messages": "Stored messages let go early because a bound in bytes was reached.",
    "deliveries": "Messages times subscribers that they were written to.",
    "sends": "System calls that wrote messages to subscribers.",
    "holds": "Times a client's requests had to wait until fan-out had caught up.",
    "accept_pauses": "Times that no connection could be accepted for want of files or memory.",
    "dropped_subscribers": "Subscribers dropped by the server, by reason.",
    "ended_subscribers": "Subscribers that ended as they should, by reason.",
    "closed_clients": "Connections closed while asking, by reason.",
    "requests": "Requests answered, by route and status.",
    "fanout_seconds": "From taking a message in to having written it to the last subscriber.",
    "ledger_lost_counts": "Counts that never reached the ledger because its queue was full or the process had to end.",
    "ledger_failed_flushes": "Flushes of the ledger that failed or took too long; the next one makes up for them.",
}
