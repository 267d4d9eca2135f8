from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.models.dashboard import Dashboard

import dashboards
from dashboards import build, queries

FOLDER = Path(dashboards.__file__).parent


def test_what_is_committed_is_what_is_built() -> None:
    for name, text in build.built().items():
        committed = (FOLDER / "generated" / name).read_text("utf-8")
        assert text == committed, f"{name} is out of date: python -m dashboards.build"


def test_writing_into_a_new_folder_makes_the_same_files(tmp_path: Path) -> None:
    written = build.write(tmp_path / "generated")
    assert [path.name for path in written] == [f"{name}.json" for name in queries.GENERATED]


def test_the_sdk_reads_its_own_dashboard_back(board: dict[str, Any]) -> None:
    assert Dashboard.from_json(board).uid == "realtime-overview"


def test_every_query_is_named_in_one_place(board: dict[str, Any]) -> None:
    named = {value for name, value in vars(queries).items() if name.isupper() and isinstance(value, str)}
    shown = {target["expr"] for panel in board["panels"] for target in panel.get("targets", ())}
    assert shown <= named
    assert named - shown == {queries.SEEN}


def test_filled_in_queries_hold_nothing_of_grafana() -> None:
    asked = queries.all_queries(job="push|relay", interval="30s")
    assert len(asked) > 20
    for title, expression in asked:
        assert title
        assert "$" not in expression
        assert 'job=~"push|relay"' in expression


def test_the_package_and_its_queries_are_of_use_without_the_sdk() -> None:
    code = """
import sys
sys.modules["grafana_foundation_sdk"] = None
import dashboards, dashboards.build
from dashboards.queries import all_queries
print(len(all_queries()) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_the_scrape_interval_that_grafana_is_told_is_the_one_prometheus_has() -> None:
    scraped = (FOLDER / "prometheus.yml").read_text("utf-8")
    told = (FOLDER / "provisioning" / "datasources" / "prometheus.yaml").read_text("utf-8")
    assert "scrape_interval: 5s" in scraped
    assert "timeInterval: 5s" in told
    assert "uid: prometheus" in told
