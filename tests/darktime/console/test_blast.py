"""``darkesttime blast --instance HOST:PORT``, as written in the README."""

import json
import subprocess
import sys
from pathlib import Path

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
