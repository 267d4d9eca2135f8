"""``darkesttime blast --instance HOST:PORT``, as written in the README."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DARKESTTIME = Path(sys.executable).parent / "darkesttime"


def test_it_ends_with_a_figure_or_the_reason_for_none(tmp_path, stack):
    push = stack.push("instance")
    command = [DARKESTTIME, "blast", "--instance", f"{push.host}:{push.port}", "--duration", "3", "--out", "run"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=28, check=False)
    results = json.loads(done.stdout)
    assert done.returncode == results["exit_code"]
    assert done.returncode in {0, 4}, done.stderr
    assert results["endpoint"] == "push"
    assert results["totals"]["requests"] > 0
    assert results["sentence"]
    assert (tmp_path / "run" / "report.html").exists()


def test_without_its_extra_it_names_the_extra_before_anything_starts(tmp_path):
    code = (
        "import sys, subprocess\nsys.modules['locust'] = None\n"
        "def started(*_, **__): raise AssertionError('a process was started')\nsubprocess.Popen = started\n"
        "from darktime.console.main import DARKESTTIME, run\n"
        "sys.exit(run(DARKESTTIME, ['blast', '--instance', '127.0.0.1:9', '--rate', '5']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'darktime[blast]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
