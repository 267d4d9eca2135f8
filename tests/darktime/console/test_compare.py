"""``darkesttime compare RUN_A RUN_B`` over results that were kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from darktime.report import validate

DARKESTTIME = Path(sys.executable).parent / "darkesttime"
SAMPLE = Path(__file__).parents[1] / "report" / "samples" / "blast-http.json"


def compare(cwd, *words):
    command = [DARKESTTIME, "compare", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)


def kept(folder, name, factor):
    results = json.loads(SAMPLE.read_text())
    results["exit_code"] = 0
    results["capacity"] = {"highest_pass_per_s": 1000.0 * factor, "lowest_fail_per_s": 1050.0 * factor}
    (folder / name).mkdir()
    (folder / name / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize(
    ("factor", "outcome", "code"), [(1.5, "better", 0), (0.6, "worse", 3), (1.02, "cannot tell", 5)]
)
def test_the_second_run_is_better_or_worse_only_where_the_intervals_do_not_meet(tmp_path, factor, outcome, code):
    kept(tmp_path, "a", 1.0)
    kept(tmp_path, "b", factor)
    done = compare(tmp_path, "a", "b", "--json", "--out", "out")
    results = json.loads(done.stdout)
    assert (results["outcome"], done.returncode) == (outcome, code), done.stderr
    assert validate(results) == "compare"
    assert (tmp_path / "out" / "report.html").exists()


def test_what_is_no_run_is_refused_in_one_line(tmp_path):
    kept(tmp_path, "a", 1.0)
    done = compare(tmp_path, "a", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
