"""``darktime smoke``: what a build server runs, and what it reads afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.waiting import wait_until

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


def smoke(tmp_path, *words):
    command = [DARKTIME, "smoke", "--junit", "junit.xml", "--json", "results.json", "--out", "run", *words]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def failures(tmp_path):
    return [
        case.find("failure").get("message")
        for case in ET.parse(tmp_path / "junit.xml").iter("testcase")
        if case.find("failure") is not None
    ]


@pytest.mark.timeout(45)
def test_a_run_that_hangs_is_ended_in_time_with_junit_and_json(tmp_path):
    began = time.monotonic()
    with smoke(tmp_path, "--within", "14") as run:
        pids = tmp_path / "run" / "processes.json"
        wait_until(lambda: pids.exists() and "relay" in json.loads(pids.read_text()), timeout_s=20)
        os.kill(json.loads(pids.read_text())["relay"], signal.SIGSTOP)
        out, err = run.communicate(timeout=40)
    assert run.returncode == 3, out + err
    assert time.monotonic() - began < 14 + 15
    assert json.loads((tmp_path / "results.json").read_text())["exit_code"] == 3
    assert any("14 s" in message for message in failures(tmp_path))


@pytest.mark.timeout(45)
def test_a_vital_part_that_dies_ends_it_with_3_with_junit_json_and_a_page(tmp_path):
    with smoke(tmp_path) as run:
        pids = tmp_path / "run" / "processes.json"
        wait_until(lambda: pids.exists() and "visitors" in json.loads(pids.read_text()), timeout_s=25)
        os.kill(json.loads(pids.read_text())["production"], signal.SIGKILL)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 3, out + err
    assert "production died" in err
    kept = json.loads((tmp_path / "run" / "results.json").read_text())
    assert kept == json.loads((tmp_path / "results.json").read_text())
    assert kept["incidents"][0].startswith("production")
    assert any("production died" in message for message in failures(tmp_path))
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("option", ["--junit", "--json"])
def test_a_file_that_cannot_be_written_is_said_before_anything_starts(tmp_path, option):
    with smoke(tmp_path, option, "/nope/file") as run:
        _, err = run.communicate(timeout=20)
    assert run.returncode == 2
    assert f"{option} /nope/file" in err
    assert not (tmp_path / "run").exists()
