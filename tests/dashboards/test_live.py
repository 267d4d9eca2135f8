from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from dashboards import queries

from .conftest import wait_until_answered

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine("prometheus")


class Exporter:
    """Every metric of the dashboards, growing by a known step each time it is scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        endpoints = Counter("darktime_endpoint_copies", "by endpoint", ["endpoint", "outcome"], registry=self.registry)
        self.counters = [
            self.counter("realtime_hooks_jobs", outcome="accepted"),
            self.counter("realtime_pipeline_messages", stage="publish", outcome="done"),
            self.counter("realtime_pipeline_redis_errors"),
            self.counter("realtime_pipeline_unaccounted"),
            self.counter("realtime_publish", box="production", outcome="accepted"),
            self.counter("realtime_push_published"),
            self.counter("realtime_push_deliveries"),
            self.counter("realtime_push_sends"),
            self.counter("realtime_push_dropped_subscribers", reason="slow"),
            self.counter("realtime_push_closed_clients", reason="reset"),
            self.counter("darktime_copies", outcome="compared"),
            *(endpoints.labels("/user/{id}", outcome) for outcome in ("differs", "not_compared")),
            self.counter("darktime_relay_offered"),
            self.counter("darktime_relay_received"),
            self.counter("darktime_relay_differing"),
        ]
        for name in ("realtime_push_subscribers", "realtime_push_waiting_bytes", "realtime_push_stored_bytes"):
            Gauge(name, name, registry=self.registry).set(7)
        Gauge("darktime_relay_streams", "streams", registry=self.registry).set(7)
        self.fanout = Histogram("realtime_push_fanout_seconds", "fan-out", registry=self.registry)

    def counter(self, name: str, **labels: str) -> Any:
        family = Counter(name, name, list(labels), registry=self.registry)
        return family.labels(**labels) if labels else family

    def scraped(self) -> bytes:
        for counter in self.counters:
            counter.inc(10)
        self.fanout.observe(0.02)
        return generate_latest(self.registry)


@pytest.fixture
def exporter() -> Iterator[str]:
    """HOST:PORT of one that serves every metric that the dashboards ask for."""
    metrics = Exporter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.scraped()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_prometheus_answers_every_query_of_every_panel_with_figures(prometheus: Any, exporter: str) -> None:
    running = prometheus({"demo": [exporter]})
    wait_until_answered(running, queries.all_queries(job="demo", interval="30s"), timeout_s=25)
    assert running.ask(queries.filled_in(queries.PUBLISH_SUCCESS, interval="30s"))[0]["value"][1] == "1"
    for title, expression in queries.all_queries(job="no-such-job", interval="30s"):
        assert running.ask(expression) == [], title
