"""``darktime demo`` as a person runs it: what it finds, how it ends, and what it leaves behind."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from darktime.report import text_summary
from realtime_core.stack import free_port, require_free
from tests.support.engines import require_engine
from tests.support.schemas import check
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"
# The short twin: a minute's demo in twenty seconds. The opening alone waits for its hung instance.
SHORT = ["--visitors", "60", "--percent", "30", "--phase-seconds", "3", "--blast-seconds", "2", "--opening-delay", "1"]
MARK = "DARKTIME_TEST_RUN"  # every process of a run inherits it: an orphan is known by it
SECONDS_TO_LEAVE = 2
A_MINUTE = pytest.mark.timeout(90)  # one run of the whole way: the only way to see it


def start(folder, *words, preexec_fn=None):
    return subprocess.Popen(
        [DARKTIME, "demo", "--out", folder, *SHORT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: str(folder)},
        preexec_fn=preexec_fn,  # noqa: PLW1509 - no threads here
    )


def processes(folder):
    """Name -> pid of what the demo started, as far as it has got."""
    try:
        return json.loads((folder / "processes.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def running(pids):
    """Those of the processes that still run."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


def left(folder):
    """All running processes of that run, whoever is their parent by now."""
    mark, found = f"{MARK}={folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return running(found)


def listening(pids):
    """The TCP ports of loopback on which these processes listen."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(str(link.readlink()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


@A_MINUTE
def test_the_demo_finds_exactly_what_was_injected_and_says_so(tmp_path):
    with start(tmp_path, "--json") as demo:
        out, err = demo.communicate(timeout=85)
    results = json.loads(out)
    check(results)
    assert demo.returncode == 0, [check for check in results["checks"] if not check["ok"]]
    clean, fault = results["phases"]
    assert clean["verdict"]["outcome"] in {"GO", "WAIT"}
    assert all(hop["balanced"] for hop in clean["ledger"])
    assert fault["verdict"]["outcome"] == "NO-GO"
    assert sorted(fault["injected"]["lost"]) == fault["named"]["missing"]
    assert sorted(fault["injected"]["doubled"]) == fault["named"]["extra"]
    assert fault["named"]["missing"] or fault["named"]["extra"]
    assert results["reason"]["naive_ms"] > 500 > 10 * results["reason"]["ours_ms"]
    assert results["users"]["agrees_with_function"]
    assert 0 < results["users"]["sampled"] < results["users"]["seen"]
    assert results["traffic"]["errors"] == 0
    assert results["traffic"]["deliveries"]["production"] > results["traffic"]["deliveries"]["dark"] > 0
    assert results["copies"]["compared"] > 0
    assert results["blast"]["totals"]["requests"] > 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path.stat().st_mode & 0o777) == 0o700
    assert "phase B" in err, "progress is shown off a terminal too"
    assert not running(processes(tmp_path).values())


@A_MINUTE
@pytest.mark.parametrize("after", ["opening-naive", "site", "visitors", "blast"])
def test_ctrl_c_at_any_moment_leaves_no_process_behind(tmp_path, after):
    with start(tmp_path) as demo:
        wait_until(lambda: after in processes(tmp_path) or (tmp_path / "stack" / f"{after}.log").exists(), timeout_s=60)
        assert len(left(tmp_path)) > 1
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=15)
    assert demo.returncode == 130, err
    assert not left(tmp_path)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["exit_code"] == 130
    assert (tmp_path / "report.html").exists()


def test_kill_9_of_the_demo_frees_every_port(tmp_path):
    with start(tmp_path) as demo:
        wait_until(lambda: "visitors" in processes(tmp_path), timeout_s=20)
        ports = listening(left(tmp_path))
        assert len(ports) >= 5
        demo.kill()
        wait_until(lambda: not left(tmp_path), timeout_s=SECONDS_TO_LEAVE)
        demo.communicate(timeout=5)
    for port in ports:
        require_free("127.0.0.1", port, "the next run")


@A_MINUTE
def test_with_relay_dark_server_and_worker_killed_no_production_request_fails_and_the_demo_says_what_was_lost(tmp_path):
    with start(tmp_path, "--json", "--phase-seconds", "4") as demo:
        wait_until(lambda: "visitors" in processes(tmp_path), timeout_s=20)
        state = tmp_path / "stack" / "visitors.json"
        wait_until(lambda: json.loads(state.read_text())["deliveries"] > 50 if state.exists() else False, timeout_s=20)
        for name in ("relay", "dark", "worker"):
            os.kill(processes(tmp_path)[name], signal.SIGKILL)
        out, _ = demo.communicate(timeout=85)
    results = json.loads(out)
    check(results)
    assert demo.returncode == 3
    assert results["traffic"]["errors"] == 0, results["checks"]
    assert len(results["incidents"]) >= 3
    assert {word.split()[0] for word in results["incidents"]} >= {"relay", "dark", "worker"}
    said = "\n".join(text_summary(results))
    for name in ("relay", "dark", "worker"):
        assert name in said.partition("INCIDENT")[2].partition("\n")[0]
    ledger = {hop["hop"]: hop for hop in results["phases"][0]["ledger"]}
    assert not ledger["queue>pipeline"]["balanced"]
    open_owners = {owner.split()[0] for hop in ledger.values() for owner in hop["open_owners"]}
    assert {"worker", "push:dark", "relay"} <= open_owners, ledger
    copies = next(check for check in results["checks"] if check["what"] == "the copies' way balances")
    assert not copies["ok"]
    assert "mirror>relay" in copies["detail"]


def refused(tmp_path, *words, **options):
    began = time.monotonic()
    with start(tmp_path / "run", *words, **options) as demo:
        out, err = demo.communicate(timeout=25)
    assert not left(tmp_path / "run")
    assert demo.returncode == 2, out + err
    assert time.monotonic() - began < 25
    return err.strip().splitlines()[-1]


def test_a_port_in_use_is_one_clear_line(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--listen", f"127.0.0.1:{port}")
    assert str(port) in said
    assert "use" in said or "taken" in said


def test_more_visitors_than_open_files_allow_are_one_clear_line(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = refused(
        tmp_path, "--visitors", str(4000), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
    )
    assert "open files" in said
    assert "300" in said
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_no_nginx_anywhere_is_one_clear_line(tmp_path):
    said = refused(tmp_path, "--nginx", str(tmp_path / "no-nginx"))
    assert "no-nginx" in said


def test_a_results_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "run").write_text("a file, not a folder")
    said = refused(tmp_path)
    assert "--out" in said


def test_a_redis_that_refuses_is_one_clear_line(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        silent.close()
        said = refused(tmp_path, "--redis", f"redis://127.0.0.1:{port}/0")
    assert str(port) in said


@A_MINUTE
def test_it_runs_the_same_against_instances_that_are_already_there_and_leaves_nothing_in_their_redis(tmp_path, stack):
    production, dark, valkey = stack.push("production"), stack.push("dark"), stack.valkey()
    with start(
        tmp_path / "run",
        *("--production", production.url, "--dark", dark.url, "--redis", valkey.url, "--json"),
    ) as demo:
        out, err = demo.communicate(timeout=85)
    results = json.loads(out)
    check(results)
    assert demo.returncode == 0, (err, [check for check in results["checks"] if not check["ok"]])
    clean, fault = results["phases"]
    hops = {"hooks>queue", "queue>pipeline", "pipeline>production", "pipeline>dark", "pipeline>window"}
    assert {hop["hop"] for hop in clean["ledger"]} == hops
    assert all(hop["balanced"] and hop["sent"] for hop in clean["ledger"])
    assert sorted(fault["injected"]["lost"]) == fault["named"]["missing"]
    assert sorted(fault["injected"]["doubled"]) == fault["named"]["extra"]
    assert production.service.alive()
    assert dark.service.alive()
    with valkey.client() as client:
        assert client.dbsize() == 0


def test_an_instance_that_is_not_there_is_one_clear_line(tmp_path, stack):
    dark = stack.push("dark")
    said = refused(tmp_path, "--production", "http://127.0.0.1:9", "--dark", dark.url)
    assert "production" in said
    assert "127.0.0.1:9" in said


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_demos_in_a_row_find_exactly_what_was_injected(tmp_path):
    for number in range(10):
        with subprocess.Popen(
            [DARKTIME, "demo", "--out", tmp_path / str(number), "--json"], stdout=subprocess.PIPE, text=True
        ) as demo:
            out, _ = demo.communicate(timeout=120)
        assert demo.returncode == 0, (number, [check for check in json.loads(out)["checks"] if not check["ok"]])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ctrl_c_and_sigterm_at_thirty_drawn_moments_leave_nothing(tmp_path):
    draw = random.Random(1)
    for number in range(30):
        moment = draw.uniform(0.2, 20)
        with start(tmp_path / str(number)) as demo:
            with suppress(subprocess.TimeoutExpired):
                demo.wait(moment)
            over = demo.poll() is not None
            demo.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
            demo.communicate(timeout=30)
        assert over or demo.returncode in {0, 130}, moment
        assert not left(tmp_path / str(number)), moment


@A_MINUTE
@pytest.mark.engine("chromium")
def test_somebody_who_watches_along_in_a_browser_sees_comments_arrive_and_changes_no_figure(tmp_path):
    from playwright.sync_api import sync_playwright

    port = free_port()
    with start(tmp_path, "--json", "--phase-seconds", "6", "--listen", f"127.0.0.1:{port}") as demo:
        wait_until(lambda: "visitors" in processes(tmp_path), timeout_s=20)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(require_engine("chromium")), args=["--no-sandbox"])
            page = browser.new_page()
            errors = []
            page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{port}/thread/1")
            page.wait_for_function("Number(document.getElementById('arrived').textContent) > 0", timeout=20_000)
            page.fill("#text", "I was here")
            page.click("button")
            page.wait_for_function("document.getElementById('comments').textContent.includes('I was here')")
            assert errors == []
            browser.close()
        out, _ = demo.communicate(timeout=60)
    results = json.loads(out)
    check(results)
    assert demo.returncode == 0, [check for check in results["checks"] if not check["ok"]]
