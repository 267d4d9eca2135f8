"""Every PromQL expression of the dashboards, by name, and those of a built one with Grafana's macros filled in."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

# Both matchers stand in every selector, so that the two variables at the top filter every panel.
SEEN: Final = 'job=~"$job", instance=~"$instance"'


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Growth a second of a counter, added up over instances, apart ``by`` labels."""
    matchers = f"{SEEN}, {where}" if where else SEEN
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{matchers}}}[$__rate_interval]))"


def now(metric: str, by: str = "") -> str:
    """A gauge, added up over instances, apart ``by`` labels."""
    return f"sum{f' by ({by})' if by else ''} ({metric}{{{SEEN}}})"


def at_most_five(expression: str) -> str:
    """The five highest lines: a graph with more is not read."""
    return f"topk(5, {expression})"


def quantile(share: float, histogram: str) -> str:
    """A quantile out of a histogram's buckets, over all instances."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', by='le')})"


INSTANCES_UP: Final = f"avg (up{{{SEEN}}})"
PUBLISH_SUCCESS: Final = (
    f"""{rate("realtime_publish_total", where='outcome="accepted"')} / {rate("realtime_publish_total")}"""
)
SUBSCRIBERS: Final = now("realtime_push_subscribers")
FANOUT_P99: Final = quantile(0.99, "realtime_push_fanout_seconds")
DROPPED: Final = rate("realtime_push_dropped_subscribers_total")

JOBS: Final = rate("realtime_hooks_jobs_total", by="outcome")
STAGES: Final = rate("realtime_pipeline_messages_total", by="stage")
PUBLISHED: Final = rate("realtime_push_published_total")
DELIVERIES: Final = rate("realtime_push_deliveries_total")
SENDS: Final = rate("realtime_push_sends_total")
COPIES_OFFERED: Final = rate("darktime_relay_offered_total")
COPIES_RECEIVED: Final = rate("darktime_relay_received_total")
PAIRS_DIFFERING: Final = rate("darktime_relay_differing_total")
RELAY_STREAMS: Final = now("darktime_relay_streams")

PIPELINE_OUTCOMES: Final = at_most_five(rate("realtime_pipeline_messages_total", by="stage, outcome"))
PIPELINE_REDIS_ERRORS: Final = rate("realtime_pipeline_redis_errors_total")
UNACCOUNTED: Final = rate("realtime_pipeline_unaccounted_total")
PUBLISH_OUTCOMES: Final = at_most_five(rate("realtime_publish_total", by="box, outcome"))
DROPPED_BY_REASON: Final = rate("realtime_push_dropped_subscribers_total", by="reason")
CLOSED_BY_REASON: Final = rate("realtime_push_closed_clients_total", by="reason")
COPIES_BY_OUTCOME: Final = at_most_five(rate("darktime_copies_total", by="outcome"))

DIFFERING_BY_ENDPOINT: Final = at_most_five(
    rate("darktime_endpoint_copies_total", by="endpoint", where='outcome="differs"')
)
NOT_COMPARED_BY_ENDPOINT: Final = at_most_five(
    rate("darktime_endpoint_copies_total", by="endpoint", where='outcome="not_compared"')
)

FANOUT_P50: Final = quantile(0.5, "realtime_push_fanout_seconds")
FANOUT_P90: Final = quantile(0.9, "realtime_push_fanout_seconds")
FANOUT_BUCKETS: Final = rate("realtime_push_fanout_seconds_bucket", by="le")

CPU: Final = at_most_five(rate("process_cpu_seconds_total", by="job, instance"))
MEMORY: Final = at_most_five(now("process_resident_memory_bytes", by="job, instance"))
FILES: Final = at_most_five(f"max by (job, instance) (process_open_fds{{{SEEN}}} / process_max_fds{{{SEEN}}})")
WAITING: Final = now("realtime_push_waiting_bytes")
STORED: Final = now("realtime_push_stored_bytes")

GENERATED: Final = ("overview",)


def dashboard(name: str) -> dict[str, Any]:
    """A committed dashboard, as Grafana reads it."""
    text = resources.files("dashboards").joinpath(f"generated/{name}.json").read_text("utf-8")
    built: dict[str, Any] = json.loads(text)
    return built


def filled_in(expression: str, *, job: str = ".*", instance: str = ".*", interval: str = "1m") -> str:
    """An expression that Prometheus itself understands: Grafana's variables and macros replaced."""
    for macro, value in (("$__rate_interval", interval), ("$instance", instance), ("$job", job)):
        expression = expression.replace(macro, value)
    return expression


def all_queries(job: str = ".*", interval: str = "1m") -> list[tuple[str, str]]:
    """Title of the panel and expression of every query of the committed dashboards, ready to be asked.

    Args:
        job: regular expression of the jobs to look at.
        interval: window of every rate; at least four scrape intervals, so that one missed scrape leaves no hole.
    """
    return [
        (panel["title"], filled_in(target["expr"], job=job, interval=interval))
        for name in GENERATED
        for panel in dashboard(name)["panels"]
        for target in panel.get("targets", ())
    ]
