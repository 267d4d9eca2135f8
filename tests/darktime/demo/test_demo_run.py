"""``darktime demo`` as a person runs it: what it finds, how it ends, and what it leaves behind."""

import itertools
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
from redis import Redis

from realtime_core.free_ports import free_port
from realtime_core.ledger import balance, read
from tests.support.engines import require_engine
from tests.support.ports import ports_of, refuses
from tests.support.processes import descendants, running
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"
# The short twin: a minute's demo in twenty seconds. The opening alone waits for its hung instance.
SHORT = ["--visitors", "60", "--percent", "30", "--phase-seconds", "3", "--blast-seconds", "2", "--opening-delay", "1"]
ENDS_BY_ITSELF_S = 16.0
A_MINUTE = pytest.mark.timeout(90)  # one run of the whole way: the only way to see it


def start(folder, *words, preexec_fn=None):
    return subprocess.Popen(
        [DARKTIME, "demo", "--out", folder, *SHORT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=preexec_fn,  # noqa: PLW1509 - no threads here
    )


def processes(folder):
    """Name -> pid of what the demo started, as far as it has got."""
    try:
        return json.loads((folder / "processes.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def arrived(folder):
    """Wait until all is started."""
    wait_until(lambda: "visitors" in processes(folder), timeout_s=20, what="the start of the demo's processes")


@A_MINUTE
def test_the_demo_finds_exactly_what_was_injected_and_says_so(tmp_path):
    with start(tmp_path, "--json") as demo:
        arrived(tmp_path)
        started = processes(tmp_path).values()
        out, err = demo.communicate(timeout=85)
    results = json.loads(out)
    assert len(started) > 10
    assert demo.returncode == 0, [check for check in results["checks"] if not check["ok"]]
    clean, fault = results["phases"]
    assert clean["verdict"]["outcome"] in {"GO", "WAIT"}
    assert all(hop["balanced"] for hop in clean["ledger"])
    assert fault["verdict"]["outcome"] == "NO-GO"
    assert sorted(fault["injected"]["lost"]) == fault["named"]["missing"]
    assert sorted(fault["injected"]["doubled"]) == fault["named"]["extra"]
    assert fault["named"]["missing"] or fault["named"]["extra"]
    assert results["reason"]["naive_ms"] >= 900, "it hangs for 1,000"
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
    assert not any(map(running, started))
    require_schema(results)


@A_MINUTE
@pytest.mark.parametrize("after", ["opening-naive", "site", "visitors", "blast"])
def test_ctrl_c_at_any_moment_leaves_no_process_behind(tmp_path, after):
    with start(tmp_path, "--phase-seconds", "1") as demo:
        wait_until(lambda: after in processes(tmp_path), timeout_s=60)
        below = descendants(demo.pid)
        ports = ports_of(below)
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=15)
    assert demo.returncode == 130, err
    assert below
    assert not any(map(running, below))
    assert ports
    assert all(map(refuses, ports))
    kept = json.loads((tmp_path / "results.json").read_text())
    require_schema(kept)
    assert kept["exit_code"] == 130
    assert (tmp_path / "report.html").exists()


def test_kill_9_of_the_demo_frees_every_port_and_ends_every_process_within_two_seconds(tmp_path):
    with start(tmp_path) as demo:
        arrived(tmp_path)
        below = descendants(demo.pid)
        ports = ports_of(below)
        assert len(ports) >= 6  # two splitters' fronts, three push servers, the site
        assert not any(map(refuses, ports))
        demo.kill()
        wait_until(lambda: all(map(refuses, ports)) and not any(map(running, below)), timeout_s=2)
        demo.communicate(timeout=5)


def words_of(pid):
    """The command line of a process, as option -> value."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return dict(itertools.pairwise(words))


def owners_of(hops):
    """Hop -> the names of its open owners, without how long ago each wrote."""
    return {hop: [owner.split()[0] for owner in owners] for hop, owners in hops}


def lacks(owners, who):
    """Of ``who`` (hop -> an owner's first letters), what these open owners do not have."""
    return {(hop, first) for hop, first in who if not any(name.startswith(first) for name in owners.get(hop, []))}


# Who is to be listed as open once all three are dead. An owner is in the ledger from its first flush on, which is a
# quarter of a second or more after what it counted: one that dies before that has left no account to be open.
OPEN_WHEN_KILLED = {
    ("queue>pipeline", "worker"),
    ("pipeline>dark", "push:dark"),
    ("dark>relay", "relay"),
    ("mirror>relay", "relay"),
}


@A_MINUTE
def test_with_relay_dark_server_and_worker_killed_no_production_request_fails_and_the_demo_says_what_was_lost(tmp_path):
    with start(tmp_path, "--phase-seconds", "6") as demo:
        arrived(tmp_path)
        visitors = words_of(processes(tmp_path)["visitors"])
        with Redis.from_url(visitors["--redis"]) as redis:

            def balances():
                return balance(read(redis, visitors["--name"]))

            wait_until(
                lambda: not lacks(owners_of((one.hop, one.open_owners) for one in balances()), OPEN_WHEN_KILLED),
                timeout_s=30,
                what="an account of each that is to die",
            )
            pids = [processes(tmp_path)[name] for name in ("relay", "dark", "worker")]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(map(running, pids)), what="the death of all three")
            # What is saved from now on stays where it is: that is what the demo has to name.
            wait_until(
                lambda: any(one.missing for one in balances() if one.hop == "queue>pipeline"),
                timeout_s=10,
                what="a job saved after the worker's death",
            )
        said, _ = demo.communicate(timeout=85)
    results = json.loads((tmp_path / "results.json").read_text())
    require_schema(results)
    assert demo.returncode == 3
    assert results["traffic"]["errors"] == 0, results["checks"]
    assert {word.split()[0] for word in results["incidents"]} == {"relay", "dark", "worker"}
    incidents = [line for line in said.splitlines() if line.startswith("INCIDENT")]
    assert {line.split()[1] for line in incidents} == {"relay", "dark", "worker"}
    ledger = {hop["hop"]: hop for hop in results["phases"][0]["ledger"]}
    # What was saved after the worker's death: each job, by name, where it was lost.
    lost = [item["id"] for item in ledger["queue>pipeline"]["missing"]]
    assert lost
    assert not any(name.startswith("#") for name in lost)
    assert ledger["queue>pipeline"]["sent"] > ledger["queue>pipeline"]["received"]
    hops = [*ledger.values(), *results["copies"]["ledger"]]
    owners = owners_of((hop["hop"], hop["open_owners"]) for hop in hops)
    assert not lacks(owners, OPEN_WHEN_KILLED), owners
    (way,) = [check for check in results["checks"] if check["what"] == "the copies' way balances"]
    assert not way["ok"]
    assert "mirror>relay: the relay died" in way["detail"]


def refused(tmp_path, *words, **options):
    began = time.monotonic()
    before = set(descendants())  # a child that outlived the demo would be adopted by this process
    with start(tmp_path / "run", *words, **options) as demo:
        out, err = demo.communicate(timeout=25)
    assert not set(descendants()) - before
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
    assert "production http://" in said
    assert "127.0.0.1:9" in said


def test_production_under_another_name_is_one_clear_line(tmp_path, stack):
    production = stack.push("production")
    said = refused(tmp_path, "--production", production.url, "--dark", f"http://localhost:{production.port}")
    assert "would hurt it" in said


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
        moment = draw.uniform(0.2, 19)  # into the blast, which begins after about 17 s
        with start(tmp_path / str(number)) as demo:
            with suppress(subprocess.TimeoutExpired):
                demo.wait(moment)
            below = descendants(demo.pid)
            demo.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
            demo.communicate(timeout=30)
        assert demo.returncode in ({130} if moment < ENDS_BY_ITSELF_S else {130, 0}), moment
        assert not any(map(running, below)), moment


@A_MINUTE
@pytest.mark.engine("chromium")
def test_somebody_who_watches_along_in_a_browser_sees_comments_arrive_changes_no_figure_and_reads_the_page(tmp_path):
    from playwright.sync_api import sync_playwright

    port = free_port()
    with start(tmp_path, "--json", "--phase-seconds", "5", "--listen", f"127.0.0.1:{port}") as demo:
        arrived(tmp_path)
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
            page.goto("about:blank")  # away before the stream ends with the demo
            out, _ = demo.communicate(timeout=60)
            page.goto((tmp_path / "report.html").as_uri())
            drawn = [chart.locator("path").count() for chart in page.locator("svg[role=img]").all()]
            assert len(drawn) >= 5
            assert all(marks > 3 for marks in drawn)
            assert errors == [], "the page that the run left behind"
            browser.close()
    results = json.loads(out)
    assert demo.returncode == 0, [check for check in results["checks"] if not check["ok"]]
