"""Every query of the committed dashboards, asked of a Prometheus that scrapes a demo while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboards import queries

from .conftest import wait_until, wait_until_answered

if TYPE_CHECKING:
    from collections.abc import Iterator

DARKTIME = Path(sys.executable).parent / "darktime"
BUSY = ("--visitors", "60", "--percent", "30", "--phase-seconds", "40", "--opening-delay", "1")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    """The folder of a demo that runs; it is ended after the test."""
    folder = tmp_path / "run"
    command = [DARKTIME, "demo", "--out", folder, *BUSY]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield folder
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.mark.engine("prometheus")
@pytest.mark.timeout(90)
def test_every_query_of_the_dashboards_is_answered_with_data_from_a_real_demo(prometheus: Any, demo: Path) -> None:
    targets = demo / "targets.json"
    wait_until(targets.exists, timeout_s=30, what="the demo's exporters are known")
    addresses = [address for group in json.loads(targets.read_text()) for address in group["targets"]]
    assert len(addresses) == 6, "site, worker, three push servers, relay: one exporter a process"
    named = {group["labels"]["process"] for group in json.loads(targets.read_text())}
    assert named == {"site", "worker", "production", "dark", "window", "relay"}
    running = prometheus({"demo": addresses})
    wait_until_answered(running, queries.all_queries(job="demo", interval="5s"), timeout_s=40)
    assert running.ask('count(up{job="demo"} == 1)')[0]["value"][1] == "6"
