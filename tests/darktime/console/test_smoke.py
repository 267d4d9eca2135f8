"""``darktime smoke``: what a build server runs, and what it reads afterwards."""

import json
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DARKTIME = Path(sys.executable).parent / "darktime"


@pytest.mark.timeout(130)
def test_smoke_passes_within_two_minutes_and_leaves_junit_and_json(tmp_path):
    began = time.monotonic()
    done = subprocess.run(
        [DARKTIME, "smoke", "--junit", "junit.xml", "--json", "results.json", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 120
    results = json.loads((tmp_path / "results.json").read_text())
    cases = list(ET.parse(tmp_path / "junit.xml").iter("testcase"))
    assert len(cases) >= len(results["checks"]) > 10
    assert not list(ET.parse(tmp_path / "junit.xml").iter("failure"))
    for check in results["checks"]:
        assert check["what"] in done.stdout
