"""The committed dashboard, its panels, and a Prometheus of a test's own."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from dashboards import queries
from realtime_core.free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
{jobs}"""
JOB = """\
  - job_name: {name}
    static_configs: [{{targets: {targets}}}]
"""


@pytest.fixture(scope="session")
def board() -> dict[str, Any]:
    return queries.dashboard("overview")


@pytest.fixture(scope="session")
def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, now."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from error
        assert answer["status"] == "success", expression
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def ready(self) -> bool:
        """Whether it answers yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


def wait_until(so: Any, *, timeout_s: float, what: str) -> None:
    """Ask again until it is so; the limit only bounds the wait."""
    limit = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < limit, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.1)


def wait_until_answered(running: Prometheus, asked: list[tuple[str, str]], *, timeout_s: float) -> None:
    """Ask each query until it has been answered with a figure once."""
    unanswered = list(asked)

    def all_answered() -> bool:
        unanswered[:] = [
            (title, expression)
            for title, expression in unanswered
            if not any(math.isfinite(float(sample["value"][1])) for sample in running.ask(expression))
        ]
        return not unanswered

    try:
        wait_until(all_answered, timeout_s=timeout_s, what="every query has data")
    except AssertionError as error:
        raise AssertionError(f"no data for {unanswered}") from error


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Any]:
    """``prometheus({"job": ["HOST:PORT", …]})`` starts one that scrapes these every second."""
    started: list[subprocess.Popen[bytes]] = []

    def start(jobs: Mapping[str, list[str]]) -> Prometheus:
        config = tmp_path / "prometheus.yml"
        config.write_text(
            CONFIG.format(
                jobs="".join(JOB.format(name=name, targets=json.dumps(targets)) for name, targets in jobs.items())
            )
        )
        address = f"127.0.0.1:{free_port()}"
        argv = [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'series'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        with (tmp_path / "prometheus.log").open("wb") as log:
            started.append(subprocess.Popen(argv, stdout=log, stderr=log))
        running = Prometheus(url=f"http://{address}")
        wait_until(running.ready, timeout_s=20, what="Prometheus answers")
        return running

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
