"""``darktime split --percent 5``, as written in the README."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

from realtime_core.stack import free_port
from tests.support.schemas import check
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
    check(results)
    assert split.returncode == results["exit_code"] == 5, err
    assert results["verdict"]["outcome"] == "WAIT"
    assert results["copies"]["received"] == results["copies"]["compared"] == 20


def test_production_under_another_name_is_no_dark_instance(tmp_path, stack):
    production = stack.push("production")
    words = ["--production", production.url, "--dark", f"http://localhost:{production.port}"]
    done = subprocess.run(
        [DARKTIME, "split", "--percent", "5", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "copies to production would hurt it" in done.stderr
