"""Which split is meant, where none is named: the one that runs; for ``kill`` all that were left."""

import json
import os

import pytest

from darktime.console.main import DARKTIME, run
from darktime.split import levels

NOBODY = 2**22 + 1  # no process has that id


@pytest.fixture
def left(tmp_path, monkeypatch):
    """``left(NAME, PID)``: a split that is described in runs/, at 5 %; its state folder."""
    monkeypatch.chdir(tmp_path)

    def make(name, pid):
        folder, described = tmp_path / f"state-{name}", tmp_path / "runs" / f"{name}-split"
        described.mkdir(parents=True)
        levels.set_percent(folder, 5.0, 25.0)
        about = {"version": 1, "folder": str(folder), "salt": "s", "key": "cookie:uid", "max_percent": 25.0, "pid": pid}
        (described / "split.json").write_text(json.dumps(about))
        return folder

    return make


def test_the_one_whose_command_is_alive_is_meant_though_others_were_left_after_it(left):
    alive, dead = left("2026-01-01", os.getpid()), left("2026-01-02", NOBODY)
    assert run(DARKTIME, ["ramp", "7"]) == 0
    assert (levels.percent_of(alive), levels.percent_of(dead)) == (7.0, 5.0)
    assert run(DARKTIME, ["kill"]) == 0
    assert levels.killed(alive)


def test_where_several_are_alive_one_must_be_named_but_kill_kills_all_of_them(left, capsys):
    folders = [left(f"2026-01-0{day}", os.getpid()) for day in (1, 2)]
    for words in (["ramp", "7"], ["who", "ann"], ["status", "--once"]):
        assert run(DARKTIME, words) == 2
        assert "several splits run here" in capsys.readouterr().err
    assert [levels.percent_of(folder) for folder in folders] == [5.0, 5.0]
    assert run(DARKTIME, ["kill"]) == 0
    assert all(levels.killed(folder) for folder in folders)
    assert run(DARKTIME, ["kill", "--resume", "--run", "runs/2026-01-01-split"]) == 0
    assert [levels.killed(folder) for folder in folders] == [False, True]


def test_with_every_process_dead_what_was_left_can_still_be_killed(left):
    folder = left("2026-01-01", NOBODY)
    assert run(DARKTIME, ["kill"]) == 0
    assert levels.killed(folder)


def test_a_kill_of_which_no_host_heard_does_not_say_that_it_was_done(capsys):
    assert run(DARKTIME, ["kill", "--redis", "redis://127.0.0.1:9/0", "--experiment", "x"]) == 2
    said = capsys.readouterr()
    assert "nothing is mirrored" not in said.out
    assert "other hosts were not told" in said.err


def test_a_kill_is_made_whatever_its_record_is_in_want_of(left, monkeypatch):
    folder = left("2026-01-01", os.getpid())

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(levels, "percent_of", refused)
    assert run(DARKTIME, ["kill"]) == 0
    assert levels.killed(folder)
