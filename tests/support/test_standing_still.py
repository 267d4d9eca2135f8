"""What is made again where the machine stood still, and what is not, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INI = "[pytest]\nmarkers =\n    quiet: by itself\ntimeout = 20\n"
# The test's process is stopped for 0.4 s, as by a machine that has no time for it.
STOPPED = """
import os, subprocess
from pathlib import Path
import pytest

def times():
    with Path("made").open("a") as made:
        made.write("x")
    return len(Path("made").read_text())

def stand_still():
    me = os.getpid()
    subprocess.run(["sh", "-c", f"(sleep 0.4; kill -CONT {me}) & kill -STOP {me}"], check=True)
"""


def run(folder: Path, body: str, mark: str = "pytest.mark.quiet") -> tuple[int, str, int]:
    """Exit code, what was said, and how often the test was made."""
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(f"{STOPPED}\n@{mark}\ndef test_it():\n{body}\ndef test_other():\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.support.standing_still"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=25.0,
        check=False,
    )
    made = folder / "made"
    return done.returncode, done.stdout, len(made.read_text()) if made.exists() else 0


ONCE = "    if times() == 1:\n        stand_still()\n        assert False, 'disturbed'\n"


def test_a_quiet_test_that_failed_while_the_machine_stood_still_is_made_again_and_said(tmp_path: Path) -> None:
    code, said, made = run(tmp_path, ONCE)
    assert (code, made) == (0, 2), said
    assert "2 passed" in said
    assert "made again, for the machine stood still" in said
    assert "test_it.py::test_it: it stood still for " in said


@pytest.mark.parametrize(
    ("body", "mark", "times"),
    [
        pytest.param("    times(); stand_still(); assert False", "pytest.mark.quiet", 3, id="it fails each time"),
        pytest.param("    times(); assert False", "pytest.mark.quiet", 1, id="nothing stood still"),
        pytest.param(ONCE, "pytest.mark.quiet(bears_s=5.0)", 1, id="it bears that"),
        pytest.param(ONCE, "pytest.mark.filterwarnings('error')", 1, id="it is not quiet"),
    ],
)
def test_what_fails_without_a_pause_or_again_and_again_has_failed(
    tmp_path: Path, body: str, mark: str, times: int
) -> None:
    code, said, made = run(tmp_path, body, mark)
    assert (code, made) == (1, times), said
    assert "1 failed, 1 passed" in said


def test_one_that_passes_is_made_once_however_long_the_machine_stood_still(tmp_path: Path) -> None:
    code, said, made = run(tmp_path, "    times(); stand_still()")
    assert (code, made) == (0, 1), said
