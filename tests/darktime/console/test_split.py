"""``darktime split --percent 5``, as written in the README."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from darktime.report import validate
from realtime_core.stack import free_port
from tests.support.processes import descendants, describe
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"


def test_without_urls_it_ends_with_2_and_the_two_lines_to_add(tmp_path):
    done = subprocess.run(
        [DARKTIME, "split", "--percent", "5"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert 'production = "http://127.0.0.1:8000"' in done.stderr
    assert 'dark = "http://127.0.0.1:8001"' in done.stderr


def test_it_mirrors_sampled_users_until_it_is_stopped_and_ends_with_a_verdict(tmp_path, stack):
    production, dark, port = stack.push("production"), stack.push("dark"), free_port()
    (tmp_path / "darktime.toml").write_text(
        f'[split]\nproduction = "{production.url}"\ndark = "{dark.url}"\n'
        f'listen = "127.0.0.1:{port}"\nkey = "cookie:uid"\nmax_percent = 100\n'
    )
    command = [DARKTIME, "split", "--percent", "5", "--out", "run", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
        about = tmp_path / "run" / "split.json"
        wait_until(about.exists, timeout_s=20)
        who = subprocess.run(
            [DARKTIME, "who", "somebody", "--run", "run"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "mirrored from" in who.stdout
        ramp = [DARKTIME, "ramp", "100", "--run", "run"]
        assert "5 % -> 100 %" in subprocess.run(ramp, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for number in range(20):
            link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number}"})
            assert link.getresponse().read()
        link.close()
        state = tmp_path / "run" / "relay.json"
        wait_until(lambda: json.loads(state.read_text())["compared"] == 20, timeout_s=10)
        subprocess.run([DARKTIME, "kill", "--run", "run"], cwd=tmp_path, capture_output=True, check=True)
        split.terminate()
        out, err = split.communicate(timeout=20)
    results = json.loads(out)
    assert split.returncode == results["exit_code"] == 5, err
    assert results["verdict"]["outcome"] == "WAIT"
    assert results["copies"]["received"] == results["copies"]["compared"] == 20
    assert validate(results) == "split"


def test_production_is_served_and_results_are_kept_when_the_relay_dies(tmp_path, stack):
    production, dark, port = stack.push("production"), stack.push("dark"), free_port()
    words = ["--production", production.url, "--dark", dark.url, "--listen", f"127.0.0.1:{port}", "--out", "run"]
    command = [DARKTIME, "split", "--percent", "100", *words, "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
        wait_until((tmp_path / "run" / "split.json").exists, timeout_s=20)
        relay = [pid for pid in descendants(split.pid) if "darktime.split.relay" in describe(pid)]
        os.kill(relay[0], signal.SIGKILL)
        line = split.stderr.readline()
        while "relay ended on its own" not in line:
            line = split.stderr.readline()
            assert line, "the command ended without a word"
        for number in range(20):
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number}"})
            assert link.getresponse().status == 200
            link.close()
        split.terminate()
        out, err = split.communicate(timeout=20)
    results = json.loads(out)
    assert split.returncode == results["exit_code"] == 5, err
    assert "relay ended on its own" in results["verdict"]["reasons"][0]
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(("dark", "named"), [("http://localhost:{port}", "both"), ("http://127.0.0.1:9", "nobody")])
def test_a_dark_side_that_is_production_or_nobody_is_refused_before_anything_starts(tmp_path, stack, dark, named):
    production = stack.push("production")
    words = ["--production", production.url, "--dark", dark.format(port=production.port)]
    command = [DARKTIME, "split", "--percent", "5", *words, "--listen", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
