from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import dashboards
from darktime.split.relay.metrics import _Collector
from dashboards import queries

ROOT = Path(dashboards.__file__).parent.parent
# Prometheus makes these itself, and prometheus-client's process collector.
NOT_OURS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
NAME = re.compile(r"\b((?:realtime|darktime|process)_[a-z_]+|up)\{([^}]*)\}")


def used() -> dict[str, set[str]]:
    """Every metric of a panel or rule, with the labels that are asked of it."""
    rules = (ROOT / "dashboards" / "rules" / "realtime.yml").read_text("utf-8")
    found: dict[str, set[str]] = {}
    expressions = [expression for _, expression in queries.all_queries()]
    for text in (*expressions, re.sub(r"(_total|_bucket)\[", r"\1{}[", rules)):
        for name, matchers in NAME.findall(text):
            found.setdefault(name, set()).update(re.findall(r"(\w+)=", matchers))
    for expression in expressions:
        by = re.search(r"by \(([^)]*)\)", expression)
        for name, _ in NAME.findall(expression):
            found[name].update(by[1].replace(" ", "").split(",") if by else ())
    return {name: labels - {"job", "instance", "le"} for name, labels in found.items()}


@pytest.fixture(scope="module")
def push() -> dict[str, set[str]]:
    """Series of a running push server, with their labels."""
    argv = [sys.executable, "-m", "realtime_core.push", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
                text = reply.read().decode()
        finally:
            server.terminate()
            server.wait(10)
    return series(text)


@pytest.fixture
def relay() -> dict[str, set[str]]:
    """Series of a relay that has seen nothing yet, with their labels."""

    class Fresh(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return {} if name.endswith("reasons") else 0

    registry = CollectorRegistry()
    registry.register(_Collector(Fresh))
    return series(generate_latest(registry).decode())


def series(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_push_and_relay_metric_of_a_panel_is_exported_with_its_labels_before_anything_happened(
    push: dict[str, set[str]], relay: dict[str, set[str]]
) -> None:
    exported = push | relay
    asked = {
        name: labels for name, labels in used().items() if name.startswith(("realtime_push", "process_", "darktime"))
    }
    assert len(asked) > 10
    for name, labels in asked.items():
        assert name in exported, name
        assert labels <= exported[name], name


def test_every_other_metric_of_a_panel_is_declared_by_an_exporter_with_its_labels() -> None:
    declared: dict[str, str] = {}
    for path in (ROOT / "realtime_core").rglob("*.py"):
        text = path.read_text("utf-8")
        for name in re.findall(r'"(realtime_[a-z_]+)"', text):
            declared[name] = declared.get(name, "") + text
    for name, labels in used().items():
        if name in NOT_OURS or name.startswith(("realtime_push", "darktime")):
            continue
        source = declared.get(name, "") + declared.get(name.removesuffix("_total").removesuffix("_bucket"), "")
        assert source, f"{name} is on a panel and no exporter has it"
        for label in labels:
            assert f'"{label}"' in source, f"{name} is asked for {label}, which its exporter does not set"
