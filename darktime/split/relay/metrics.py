"""The relay's counters for Prometheus. No ids and no users in labels; endpoints by the names that all else has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from darktime.split.compare.endpoint import OTHER
from darktime.split.relay import reasons
from darktime.split.relay.records import DIFFERS, SAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

_COUNTERS: Final = {
    "offered": "requests that production's log lines call sampled",
    "received": "copies that arrived",
    "differing": "pairs whose answers differ",
    "duplicates": "copies that arrived twice",
    "events": "events read from held streams",
    "events_unnamed": "events that do not say who they are",
    "streams_cut": "streams that the dark instance ended before production did",
    "breaker_trips": "times the dark instance was left alone",
    "log_lines": "log lines read",
    "log_lost": "log lines that the kernel had no room for",
    "log_refused": "datagrams without the run's secret",
    "late_lines": "log lines that came after their request was let go",
    "strangers": "connections that sent something else than copies",
    "pairs_dropped": "pairs that were not written",
    "ledger_failures": "flushes of the ledger that failed",
}
_GAUGES: Final = {
    "streams": "streams held",
    "in_flight": "copies on their way to a reply",
    "lasting": "copies whose reply takes long, as production's does",
    "queued": "copies waiting for a connection",
    "waiting": "requests not yet through",
    "log_room": "log lines that the kernel has room for while the relay does not read",
}

NOT_COMPARED: Final = "not_compared"


class _Collector:
    def __init__(self, state: Callable[[], dict[str, Any]]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        copies = CounterMetricFamily(
            "darktime_copies", "Copies that arrived, by what became of them.", labels=["outcome"]
        )
        copies.add_metric(["compared"], state["compared"])
        copies.add_metric(["recorded"], state["recorded"])
        for reason in reasons.ALL:
            if reason in (reasons.LOG_LOST, reasons.UNKNOWN):  # of the copy, or of what became of one that did not come
                copies.add_metric([reason], state["reasons"].get(reason, 0) + state["mirror_reasons"].get(reason, 0))
            elif reason != reasons.SHED_SINK:
                copies.add_metric([reason], state["reasons"].get(reason, 0))
        copies.add_metric([reasons.SHED_SINK], state["mirror_reasons"].get(reasons.SHED_SINK, 0))
        yield copies
        yield _endpoints(state)
        for name, words in _COUNTERS.items():
            yield CounterMetricFamily(f"darktime_relay_{name}", _sentence(words), value=state[name])
        for name, words in _GAUGES.items():
            yield GaugeMetricFamily(f"darktime_relay_{name}", _sentence(words), value=state[name])
        if "comparison" in state:
            yield from _content(state)


def _endpoints(state: dict[str, Any]) -> Metric:
    """As many as the comparison names, and ``other``; which reason it was is told of all together."""
    found = CounterMetricFamily(
        "darktime_endpoint_copies",
        "Copies that are through, by endpoint: both sides answered the same, they differ, or it was not compared.",
        labels=["endpoint", "outcome"],
    )
    judged, left = state.get("judged") or {}, state.get("left") or {}
    for endpoint in dict.fromkeys((OTHER, *judged, *left)):
        for outcome in (SAME, DIFFERS):
            found.add_metric([endpoint, outcome], judged.get(endpoint, {}).get(outcome, 0))
        found.add_metric([endpoint, NOT_COMPARED], sum(left.get(endpoint, {}).values()))
    return found


def _content(state: dict[str, Any]) -> Iterator[Metric]:
    """Comparison by content; its reasons are a closed list as well."""
    seen = state["comparison"]
    answers = CounterMetricFamily(
        "darktime_compared_answers",
        "Copies chosen for comparison by content, by what became of them.",
        labels=["outcome"],
    )
    answers.add_metric(["compared"], seen["compared"])
    for reason, number in seen["left"].items():
        answers.add_metric([reason], number)
    yield answers
    failures = CounterMetricFamily(
        "darktime_secondary_failures", "Requests that the secondary did not answer.", labels=["reason"]
    )
    for reason, number in seen["secondary_failures"].items():
        failures.add_metric([reason], number)
    yield failures
    reported = sum(one["reported"] for one in state["fields"])
    yield GaugeMetricFamily("darktime_fields_reported", "Fields that differ more than by noise.", value=reported)


def serve(port: int, state: Callable[[], dict[str, Any]]) -> int:
    """Serve on 127.0.0.1, from a thread; the port that it got. Raises OSError."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(state))
    server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    return server.server_port


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."
