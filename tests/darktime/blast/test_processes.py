"""One head, several hands: what two processes count together is what the server counted, and a lost one voids the run."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from darktime.report import validate
from realtime_core.free_ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.quiet

BLAST = [sys.executable, "-m", "darktime.blast"]


def blast(instance, *words, timeout=28):
    argv = [*BLAST, "--instance", instance.address, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    return done, json.loads(done.stdout) if done.stdout else None


@pytest.mark.parametrize("processes", ["1", "2"])
def test_our_totals_are_locusts_and_the_servers_own(instance, processes):
    null = instance("null")
    done, result = blast(null, "--path", "/", "--rate", "600", "--duration", "2", "--processes", processes)
    assert done.returncode == 0, done.stderr
    assert result["totals"]["requests"] == 1200 == result["locust"]["requests"] == null.counters()["requests"]
    assert sum(worker["requests"] for worker in result["workers"]) == 1200
    assert len(result["workers"]) == int(processes)
    assert validate(result) == "blast"


def test_subscribers_of_two_processes_hear_everything_their_own_publishers_said(instance):
    push = instance("sse")
    words = ["--rate", "200", "--duration", "2", "--streams", "40", "--channels", "4", "--processes", "2"]
    done, result = blast(push, *words)
    assert done.returncode == 0, done.stderr
    assert result["totals"]["requests"] == 400
    # Each of the two has 20 subscribers on 4 channels of its own: an event has 5 readers.
    assert result["totals"]["deliveries"] == 400 * 5
    assert (result["totals"]["lost"], result["totals"]["duplicated"]) == (0, 0)


def test_a_search_has_a_canary_beside_it_and_a_calibration_before_it(instance):
    bucket = instance("token-bucket", rate=500, burst=50)
    done, result = blast(bucket, "--path", "/", "--duration", "12")
    assert done.returncode == 0, done.stderr
    low, high = result["capacity"]["highest_pass_per_s"], result["capacity"]["lowest_fail_per_s"]
    assert low * 0.95 <= 500 - 10 <= high, "the canary takes ten of them"
    assert result["limit"] == "instance"
    assert result["canary"]["requests"] > 10
    assert result["calibration"]["ceiling_per_s"] > 5000
    assert 0 < result["calibration"]["share"] < 1


@pytest.mark.parametrize("scenario", ["steady", "one_channel"])
def test_a_scenario_runs_by_name_with_its_numbers(instance, scenario):
    server = instance("sse" if scenario == "one_channel" else "null")
    words = ["--scenario", scenario, "--number", "duration=2", "--number", "rate=50"]
    done, result = blast(server, *words)
    assert done.returncode == 0, done.stderr
    assert result["name"] == scenario
    assert result["totals"]["requests"] == 100
    assert validate(result) == "blast"


@pytest.mark.parametrize("words", [["--scenario", "nothing"], ["--scenario", "steady", "--number", "speed=1"]])
def test_a_scenario_or_a_number_that_is_not_known_is_refused_by_name(instance, words):
    done, _ = blast(instance("null"), *words)
    assert done.returncode == 2
    assert words[-1].partition("=")[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_locust_runs_the_same_scenario_and_its_total_is_the_servers(instance, tmp_path):
    null = instance("null")
    locust = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", "--headless", "-u", "1", "--json"]
    words = ["--host", f"http://{null.address}", "--number", "rate=100", "--number", "duration=2", "-t", "5s"]
    done = subprocess.run([*locust, *words], capture_output=True, text=True, timeout=28, check=False)
    rows = json.loads(done.stdout[done.stdout.index("[") :])
    assert sum(row["num_requests"] for row in rows) == 200 == null.counters()["requests"], done.stderr


@pytest.mark.parametrize("processes", [1, 2])
def test_the_tables_and_the_page_that_plain_locust_writes_have_the_servers_totals(instance, tmp_path, processes):
    null = instance("null")
    locust = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", "--headless", "-u", str(processes)]
    locust += ["--processes", str(processes)] if processes > 1 else []
    words = ["--host", f"http://{null.address}", "--number", "rate=100", "--number", "duration=2", "-t", "6s"]
    files = ["--csv", str(tmp_path / "run"), "--html", str(tmp_path / "run.html")]
    files += ["--exact", str(tmp_path / "exact.json")]
    done = subprocess.run([*locust, *words, *files], capture_output=True, text=True, timeout=28, check=False)
    assert done.returncode == 0, done.stderr
    counted = null.counters()["requests"]
    with (tmp_path / "run_stats.csv").open(newline="") as table:
        listed = {row["Name"]: row for row in csv.DictReader(table)}
    page = re.search(r"window\.templateArgs = (\{.*\})", (tmp_path / "run.html").read_text())
    shown = {row["name"]: row for row in json.loads(page[1])["requests_statistics"]}
    assert counted == 200 * processes, "each process has the scenario's own rate"
    for name in ("/", "Aggregated"):
        assert int(listed[name]["Request Count"]) == counted == shown[name]["num_requests"]
        assert int(listed[name]["Failure Count"]) == 0 == shown[name]["num_failures"]
    exact = json.loads((tmp_path / "exact.json").read_text())
    assert exact["totals"]["requests"] == counted == sum(row["requests"] for row in exact["series"])
    assert exact["latency"]["count"] == counted


def test_plain_locusts_own_page_shows_the_servers_total(instance):
    null = instance("null")
    port = free_port()
    page = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(port), "-u", "1"]
    words = ["--host", f"http://{null.address}", "--number", "rate=100", "--number", "duration=2"]
    argv = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", *page, *words]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:

        def shown():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5) as answer:
                    return {row["name"]: row["num_requests"] for row in json.load(answer)["stats"]}
            except OSError:
                return {}

        try:
            wait_until(lambda: shown().get("/") == 200, timeout_s=20, what="the page's total")
            assert shown()["Aggregated"] == 200 == null.counters()["requests"]
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.parametrize("processes", [1, 2])
def test_plain_locust_that_is_ended_from_outside_leaves_the_exact_figures(instance, tmp_path, processes):
    null = instance("null")
    locust = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", "--headless", "-u", str(processes)]
    locust += ["--processes", str(processes)] if processes > 1 else []
    words = ["--host", f"http://{null.address}", "--number", "rate=100", "--number", "duration=30"]
    exact = tmp_path / "exact.json"
    with subprocess.Popen([*locust, *words, "--exact", str(exact)], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: null.counters()["requests"] > 50, timeout_s=15, what="a beginning")
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    totals = json.loads(exact.read_text())["totals"]
    assert 50 < totals["requests"] == null.counters()["requests"] < 6000
    assert totals["failures"] < totals["requests"] / 2, "those that were under way"


def locust_workers(process):
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("ended_by", ["its time", pytest.param("a signal at once", marks=pytest.mark.long)])
def test_plain_locust_that_lost_a_worker_ends_in_exit_4_and_says_so_in_the_exact_figures(instance, tmp_path, ended_by):
    null = instance("null")
    locust = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", "--headless", "-u", "2", "--processes", "2"]
    words = ["--host", f"http://{null.address}", "--number", "rate=50", "--number", "duration=30"]
    words += ["-t", "4s"] if ended_by == "its time" else []
    exact = tmp_path / "exact.json"
    process = subprocess.Popen([*locust, *words, "--exact", str(exact)], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: null.counters()["requests"] > 50, timeout_s=15, what="a beginning")
        os.kill(locust_workers(process)[0], signal.SIGKILL)
        if ended_by != "its time":
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=24)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 4, said
    figures = json.loads(exact.read_text())
    assert sorted(worker["state"] for worker in figures["workers"]) == ["lost", "ready"]
    assert sum(worker["requests"] for worker in figures["workers"]) == figures["totals"]["requests"]
    (lost,) = (worker["id"] for worker in figures["workers"] if worker["state"] == "lost")
    assert figures["void"] == (
        f"1 of 2 workers was lost ({lost}): its part of the plan is missing, so this run is void"
    )
    assert figures["void"] in said


@pytest.mark.long
def test_plain_locust_whose_workers_end_with_it_is_not_void(instance, tmp_path):
    null = instance("null")
    locust = [sys.executable, "-m", "locust", "-f", "scenarios/steady.py", "--headless", "-u", "2", "--processes", "2"]
    words = ["--host", f"http://{null.address}", "--number", "rate=50", "--number", "duration=30"]
    exact = tmp_path / "exact.json"
    argv = [*locust, *words, "--exact", str(exact)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(lambda: null.counters()["requests"] > 50, timeout_s=15, what="a beginning")
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches them all
        process.wait(20)
    figures = json.loads(exact.read_text())
    assert (figures["void"], [worker["state"] for worker in figures["workers"]]) == ("", ["ready", "ready"])
    assert process.returncode != 4
    assert figures["totals"]["requests"] == null.counters()["requests"]


def test_a_search_that_has_two_seconds_begins_where_a_try_takes_no_longer(instance):
    done, result = blast(instance("sse"), "--duration", "2", "--streams", "20")
    assert done.returncode in {0, 4}, done.stderr  # a machine this busy gives no capacity, and says so
    assert result["totals"]["requests"] > 0, result["sentence"]
    assert result["probes"][0]["rate_per_s"] >= 120 / (2 / 4), "the least number of requests in a quarter of the time"


def test_a_bare_run_searches_within_its_budget_and_ends_in_a_capacity_or_says_why_not(instance, tmp_path):
    bucket = instance("token-bucket", rate=500, burst=50)
    start = "from darktime.console.main import darkesttime; darkesttime()"
    argv = [sys.executable, "-c", start, "blast", "--instance", bucket.address]
    done = subprocess.run(
        [*argv, "--budget", "10", "--out", "run"], capture_output=True, text=True, timeout=28, check=False, cwd=tmp_path
    )
    result = json.loads((tmp_path / "run" / "results.json").read_text())
    assert done.returncode == result["exit_code"], done.stderr
    assert "--duration 10.0" in result["command"]
    assert len({probe["rate_per_s"] for probe in result["probes"]}) > 1, "nobody named a rate"
    assert max(probe["began_s"] for probe in result["probes"]) < 10
    if done.returncode == 4:  # a machine this busy gives no capacity, and says so
        assert result["sentence"].startswith("No capacity is given")
        return
    assert done.returncode == 0, result["sentence"]
    low, high = result["capacity"]["highest_pass_per_s"], result["capacity"]["lowest_fail_per_s"]
    assert low * 0.95 <= 500 - 10 <= high, "the canary takes ten of them"


def test_each_of_so_many_users_asks_again_when_he_is_answered_and_not_before(instance, tmp_path):
    server = instance("delay", delay="constant:50")
    start = "from darktime.console.main import darkesttime; darkesttime()"
    argv = [sys.executable, "-c", start, "blast", "--instance", server.address, "--path", "/", "--users", "4"]
    words = ["--duration", "2", "--out", str(tmp_path), "--slo", "p99<4s,errors<1%"]
    done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=28, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "results.json").read_text())
    assert (result["model"], result["totals"]["connects"]) == ("closed", 4)
    assert 4 < result["totals"]["requests"] == server.counters()["requests"] <= 4 * (2000 / 50 + 1)
    assert max(row["in_flight"] for row in result["series"]) <= 4


def test_a_command_that_is_ended_from_outside_leaves_its_results_and_its_page(instance, tmp_path):
    null = instance("null")
    start = "from darktime.console.main import darkesttime; darkesttime()"
    argv = [sys.executable, "-c", start, "blast", "--instance", null.address, "--path", "/", "--rate", "200"]
    with subprocess.Popen([*argv, "--duration", "20", "--out", str(tmp_path)], stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: null.counters()["requests"] > 50, timeout_s=15, what="a beginning")
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    result = json.loads((tmp_path / "results.json").read_text())
    assert process.returncode == 130 == result["exit_code"]
    assert 50 < result["totals"]["requests"] == null.counters()["requests"] == result["locust"]["requests"] < 4000
    assert validate(result) == "blast"
    assert list(tmp_path.glob("*.html"))
