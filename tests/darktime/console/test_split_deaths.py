"""What a running ``darktime split`` promises when one of its processes, or the server it counts in, is killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from realtime_core.stack import free_port
from tests.support.processes import descendants, describe
from tests.support.schemas import check
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"


@contextmanager
def splitting(tmp_path, production, dark, port):
    command = [
        *(DARKTIME, "split", "--percent", "100", "--out", "run", "--json"),
        *("--production", production.url, "--dark", dark.url, "--listen", f"127.0.0.1:{port}"),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
        try:
            wait_until((tmp_path / "run" / "split.json").exists, timeout_s=20)
            yield split
        finally:
            split.kill()


def ask(port, count):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for number in range(count):
        link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number}"})
        reply = link.getresponse()
        reply.read()
        assert reply.status == 200
    link.close()


@pytest.mark.parametrize(("module", "name"), [("darktime.split.relay", "relay"), ("darktime.split.agent", "agent")])
def test_with_a_helper_killed_production_goes_on_and_the_results_are_kept_and_say_so(tmp_path, stack, module, name):
    port = free_port()
    with splitting(tmp_path, stack.push("production"), stack.push("dark"), port) as split:
        ask(port, 10)
        state = tmp_path / "run" / "relay.json"
        wait_until(lambda: json.loads(state.read_text())["compared"] == 10, timeout_s=10)
        (victim,) = [pid for pid in descendants(split.pid) if f" -m {module} " in describe(pid)]
        os.kill(victim, signal.SIGKILL)
        assert f"{name} (process {victim}) died" in next(line for line in split.stderr if " died" in line)
        ask(port, 30)
        assert split.poll() is None
        split.terminate()
        out, err = split.communicate(timeout=20)
    results = json.loads(out)
    check(results)
    assert split.returncode == results["exit_code"] == 5, err
    assert results["copies"]["compared"] >= 10
    assert f"{name} (process {victim}) died" in results["verdict"]["reasons"][0]
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results


def test_with_the_server_killed_that_it_counts_in_the_results_are_kept_and_say_so(tmp_path, stack):
    port = free_port()
    with splitting(tmp_path, stack.push("production"), stack.push("dark"), port) as split:
        (victim,) = [pid for pid in descendants(split.pid) if "valkey" in describe(pid).lower()]
        os.kill(victim, signal.SIGKILL)
        ask(port, 10)
        split.terminate()
        out, err = split.communicate(timeout=20)
    assert split.returncode == 5, err
    results = json.loads(out)
    check(results)
    assert any("does not answer" in reason for reason in results["verdict"]["reasons"])


def test_killed_itself_it_takes_its_nginx_along(tmp_path, stack):
    port = free_port()
    with splitting(tmp_path, stack.push("production"), stack.push("dark"), port) as split:
        below = descendants(split.pid)
        split.kill()
        wait_until(lambda: not set(below) & set(descendants()), timeout_s=5)
    with pytest.raises(ConnectionRefusedError):
        ask(port, 1)
