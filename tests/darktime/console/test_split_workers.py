"""``darktime split --relay-workers N``: in front of production and beside an nginx that is already there."""

import json
import os
import signal
import subprocess

import pytest

from darktime.console.main import DARKTIME, run
from tests.darktime.console.test_include import DARKTIME as COMMAND
from tests.darktime.console.test_include import USERS as INCLUDED
from tests.darktime.console.test_include import ask as ask_included
from tests.darktime.console.test_include import command, patch, reload, short, their_nginx
from tests.darktime.console.test_split import USERS, ask, child, splitting
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

__all__ = ["short"]  # a fixture


def state_of(tmp_path, name="relay"):
    path = tmp_path / "run" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def requests_in(recording):
    return {told["id"] for told in map(json.loads, recording.read_text().splitlines()[1:]) if "method" in told}


@pytest.mark.parametrize("relays", ["0", "33", "-1"])
def test_there_are_1_to_32(tmp_path, monkeypatch, capsys, relays):
    monkeypatch.chdir(tmp_path)
    words = ["--production", "http://127.0.0.1:9", "--dark", "http://127.0.0.1:10", "--dark-state", "isolated"]
    asked = ["split", "--percent", "5", "--key", "cookie:uid", "--out", "run", *words, "--relay-workers", relays]
    assert run(DARKTIME, asked) == 2
    assert f"--relay-workers {relays}: 1 to 32, please" in capsys.readouterr().err
    assert not (tmp_path / "run" / "stack").exists()


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs-1.jsonl", "calibration.jsonl", "calibration-2.jsonl"])
def test_a_folder_that_holds_parts_of_a_split_gets_no_others(tmp_path, monkeypatch, capsys, name):
    """They would be taken for this run's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run" / name).write_text("")
    words = ["--production", "http://127.0.0.1:9", "--dark", "http://127.0.0.1:10", "--dark-state", "isolated"]
    assert run(DARKTIME, ["split", "--percent", "5", "--key", "cookie:uid", "--out", "run", *words]) == 2
    assert "holds a split's results already" in capsys.readouterr().err


def test_one_of_two_that_is_killed_is_named_and_the_other_goes_on(tmp_path, stack, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    production, dark = stack.push("production").url, stack.push("dark").url
    words = ("--percent", "100", "--relay-workers", "2", "--record", str(tmp_path / "kept.jsonl"))
    with splitting(tmp_path, production, dark, *words) as (split, port):
        ask(port)
        wait_until(lambda: state_of(tmp_path).get("compared") == USERS, timeout_s=10, what="all copies compared")
        lost = len(state_of(tmp_path, "relay-2")["users"])
        os.kill(child(split.pid, "/relay-2.sock"), signal.SIGKILL)
        for line in iter(split.stderr.readline, ""):
            if "relay-2 died" in line:
                break
        ask(port)
        expected = 2 * USERS - lost
        wait_until(lambda: state_of(tmp_path)["compared"] == expected, timeout_s=10, what="the other's copies compared")
        about = json.loads((tmp_path / "run" / "split.json").read_text())
        assert (about["margins"]["latency_ratio"], about["looks"]) == (1.1, 0)
        assert run(DARKTIME, ["status", "--run", "run", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert run(DARKTIME, ["status", "--run", "run", "--once"]) == 0
        shown = capsys.readouterr().out
        split.terminate()
        out, err = split.communicate(timeout=20)
    require_schema(told)
    assert (told["relay_alive"], [one["alive"] for one in told["relays"]]) == (False, [True, False])
    assert told["copies"]["compared"] == sum(one["compared"] for one in told["relays"]) == expected
    assert "relay-2 of 2: dead, or silent" in shown
    assert told["ledger"] is not None
    assert {one["hop"] for one in told["ledger"]["hops"]} <= {"mirror>relay", "relay>compared"}
    results = json.loads(out)
    require_schema(results)
    assert split.returncode == results["exit_code"] == 5, err
    assert "relay-2 died" in results["verdict"]["reasons"][0]
    assert (results["copies"]["received"], results["copies"]["compared"]) == (expected, expected)
    assert results["users"]["sampled"] == USERS
    assert len((tmp_path / "run" / "pairs.jsonl").read_text().splitlines()) == expected
    assert results["recording"]["requests"] == len(requests_in(tmp_path / "kept.jsonl")) == expected
    assert not [*tmp_path.glob("kept.jsonl-*"), *(tmp_path / "run").glob("pairs-*")]
    assert run(DARKTIME, ["verdict", "run", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["outcome"] == "WAIT"


@pytest.mark.engine("patch")
def test_includes_that_were_written_for_two_are_joined_by_two(short, tmp_path, stack, capsys):
    production, dark = stack.push("production").url, stack.push("dark").url
    with their_nginx(short, production) as (port, config):
        folder = short / "include"
        words = ("--emit", folder, "--dark-state", "isolated", "--nginx-conf", config, "--relay-workers", "2")
        done = command(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        patch(folder)
        reload(config)
        join = (
            "--include",
            folder,
            "--dark",
            dark,
            "--out",
            tmp_path / "run",
            "--json",
            "--probe",
            f"http://127.0.0.1:{port}/",
        )
        asked = ["split", "--percent", "100", *map(str, join)]
        assert run(DARKTIME, [*asked, "--relay-workers", "3"]) == 2
        assert "--relay-workers 3: the includes were written for 2" in capsys.readouterr().err
        argv = [COMMAND, *asked]
        with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
            wait_until(lambda: state_of(tmp_path).get("compared") == 1, 20, "the probe's copy")
            ask_included(port)
            ask_included(port)
            asked = 2 * INCLUDED + 1
            wait_until(lambda: state_of(tmp_path)["compared"] == asked, 10, "all copies compared")
            parts = [state_of(tmp_path, f"relay-{number}") for number in (1, 2)]
            split.terminate()
            out, err = split.communicate(timeout=20)
        results = json.loads(out)
        require_schema(results)
        assert split.returncode == results["exit_code"] == 5, err
        assert results["copies"] == {**results["copies"], "received": asked, "compared": asked, "reasons": {}}
        assert all(hop["balanced"] or not (hop["missing"] or hop["extra"]) for hop in results["ledger"])
        users = [set(part["users"]) for part in parts]
        assert all(users)
        assert not users[0] & users[1]
        assert len(users[0] | users[1]) == INCLUDED + 1
        assert [part["compared"] for part in parts] == [
            2 * len(mine) - (part["compared"] % 2) for mine, part in zip(users, parts, strict=True)
        ], "each user asked twice, the probe once"
        patch(folder, "-R")
        reload(config)
        ask_included(port)
