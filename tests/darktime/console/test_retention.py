"""What is kept of runs, how private, and for how long: real folders, whose times are set back."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darktime.console.folders import run_folder
from darktime.console.retention import KEPT_S

DAY_S = 24 * 3600
ROOT = Path(__file__).parents[3]
# A run that was begun: it says where, and goes on until it is killed.
BEGUN = """
import sys
from darktime.console.folders import run_folder
print(run_folder("record"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def aged(folder: Path, days: float) -> None:
    """Set everything in the folder, and itself, so many days back."""
    then = time.time() - days * DAY_S
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then), follow_symlinks=False)


def a_run(here: Path, name: str = "2026-01-01T10-00-00Z-record", *, files: tuple[str, ...], days: float) -> Path:
    folder = here / "runs" / name
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("GET /account HTTP/1.1\n")
    aged(folder, days)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_runs_and_what_is_in_it_are_nobody_elses_whatever_the_umask(here):
    before = os.umask(0)
    try:
        folder = run_folder("record")
    finally:
        os.umask(before)
    assert (mode(here / "runs"), mode(folder)) == (0o700, 0o700)


def test_a_runs_that_was_there_keeps_the_mode_that_its_owner_gave_it(here):
    (here / "runs").mkdir()
    (here / "runs").chmod(0o750)
    assert mode(run_folder("record")) == 0o700
    assert mode(here / "runs") == 0o750


def test_the_keeping_time_is_the_week_that_is_promised():
    assert KEPT_S == 7 * DAY_S


@pytest.mark.parametrize("files", [("results.json", "recording.jsonl"), ("recording.jsonl",), ("stack/redis/log",), ()])
def test_a_run_goes_a_week_after_its_last_change_whether_it_ended_or_was_killed(here, files):
    old = a_run(here, files=("split.json", *files), days=7.01)
    young = a_run(here, "2026-01-02T10-00-00Z-record", files=("split.json", *files), days=6.9)
    run_folder("record")
    assert not old.exists()
    assert sorted(path.name for path in young.rglob("*") if path.is_file()) == sorted(
        Path(file).name for file in ("split.json", *files)
    )


def test_what_has_changed_anywhere_in_a_run_keeps_all_of_it(here):
    folder = a_run(here, files=("split.json", "stack/deep/recording.jsonl"), days=30)
    os.utime(folder / "stack" / "deep" / "recording.jsonl")
    assert (folder.stat().st_mtime, (folder / "stack").stat().st_mtime) < (time.time() - 29 * DAY_S,) * 2
    run_folder("record")
    assert (folder / "stack" / "deep" / "recording.jsonl").exists()


def test_a_run_whose_process_lives_stays_and_goes_once_that_was_killed(here):
    argv = [sys.executable, "-c", BEGUN]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            folder = Path(process.stdout.readline().strip())
            (folder / "recording.jsonl").write_text("GET /account HTTP/1.1\n")
            aged(folder, 30)
            run_folder("split")
            assert (folder / "recording.jsonl").exists()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
    run_folder("split")
    assert not folder.exists()


def test_where_a_place_of_the_users_own_is_named_nothing_is_removed(here):
    named = here / "mine" / "2026-01-01T10-00-00Z-record"
    named.mkdir(parents=True)
    (named / "results.json").touch()
    aged(named, 30)
    beside = a_run(here, files=("results.json",), days=30)
    run_folder("record", here / "mine" / "another")
    run_folder("record", here / "runs" / "by-hand")
    assert named.exists()
    assert beside.exists()


def test_only_what_a_run_of_ours_is_called_is_ever_removed(here):
    kept = [
        a_run(here, name, files=("results.json",), days=30)
        for name in ("by-hand", "2026-01-01", "2026-01-01T10-00-00Z-record.old", "2026-01-01T10-00-00Z", "fit-7")
    ]
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "results.json").touch()
    aged(elsewhere, 30)
    (here / "runs" / "2026-01-03T10-00-00Z-record").symlink_to(elsewhere)
    run_folder("record")
    assert all(folder.exists() for folder in kept)
    assert (elsewhere / "results.json").exists()


def test_what_cannot_be_removed_is_said_and_the_run_begins_all_the_same(here, monkeypatch, capsys):
    old = a_run(here, files=("recording.jsonl",), days=30)

    def refused(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("darktime.console.retention.shutil.rmtree", refused)
    assert run_folder("record").exists()
    said = capsys.readouterr().err
    assert old.name in said
    assert "Permission denied" in said
