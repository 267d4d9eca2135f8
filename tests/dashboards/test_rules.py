from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import dashboards

FOLDER = Path(dashboards.__file__).parent
TESTS = Path(__file__).parent / "rules.test.yml"

pytestmark = pytest.mark.engine("promtool")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_rules_and_the_example_are_valid() -> None:
    assert "5 rules found" in promtool("check", "rules", FOLDER / "rules" / "realtime.yml")
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_the_example_scrapes_the_targets_that_a_demo_writes(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "dashboards")
    targets = tmp_path / "dashboards" / "targets.json"
    targets.write_text('[{"targets": ["127.0.0.1:1"], "labels": {"process": "relay"}}]')
    assert "SUCCESS" in promtool("check", "config", tmp_path / "dashboards" / "prometheus.yml")
    targets.write_text('[{"targets": "no list"}]')
    with pytest.raises(AssertionError):
        promtool("check", "config", tmp_path / "dashboards" / "prometheus.yml")


def test_the_alerts_fire_on_what_they_name_after_their_time_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS)
