"""Every scenario, run for some two seconds as it is run: a process of its own, against a server that counts too."""

import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from darktime.blast.catalogue import names
from darktime.report import validate
from tests.realtime_core.push.client import metric
from tests.support.waiting import wait_until

# A run whose sends were 10 ms late is void, and of the few sends here a single one is enough.
pytestmark = pytest.mark.quiet(bears_s=0.01)

ROOT = Path(__file__).parents[3]
DOC = ROOT / "docs" / "scenarios.md"
STREAMS = ("--number", "streams=30", "--number", "connections=4")


def run(address, name, *words, timeout=28, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "darktime.blast", "--instance", address, "--scenario", str(name), *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )
    assert code is None or done.returncode == code, done.stderr
    result = json.loads(done.stdout)
    assert validate(result) == "blast"
    return {finding["name"]: finding for finding in result["findings"]}, result


def numbers(**named):
    return [word for name, value in named.items() for word in ("--number", f"{name}={value}")]


@pytest.fixture
def push(stack):
    return stack.push("push", options=["--store", "200"])


@pytest.fixture
def address(push):
    return f"{push.host}:{push.port}"


def test_one_channel_says_how_far_apart_its_subscribers_hear_an_event(address):
    found, _ = run(address, "one_channel", *STREAMS, *numbers(rate=50, duration=2))
    assert found["fan-out spread"]["value"] > 0


def test_the_pope_spike_follows_its_curve_to_the_last_publish(push, address):
    found, result = run(address, "pope", *STREAMS, *numbers(speed=195))
    # The area below the curve: 37,800 publishes in 390 s.
    assert result["totals"]["requests"] == 194 == metric(push, "published_total")
    assert result["totals"]["deliveries"] == 194 * 10 == metric(push, "deliveries_total")
    assert found["slowest delivery"]["value"] > 0
    assert (found["lost"]["value"], found["lost"]["ok"]) == (0, True)


def test_after_a_storm_everybody_is_served_again_and_what_was_missed_is_replayed(address):
    found, _ = run(address, "reconnect_storm", *STREAMS, *numbers(rate=50, duration=1, storm=2))
    assert found["served again"]["ok"] is True
    assert 0.5 <= found["served again"]["value"] < 2
    assert found["replayed"]["value"] > 0
    assert found["lost"]["value"] == 0


def test_a_storm_at_an_instance_that_keeps_nothing_is_said_to_have_lost(stack):
    push = stack.push("push")
    words = ["--slo", "p99<200ms,errors<0.1%,lost<90%"]
    found, _ = run(
        f"{push.host}:{push.port}", "reconnect_storm", *STREAMS, *numbers(rate=50, duration=1, storm=2), *words
    )
    assert found["replayed"]["value"] == 0
    assert found["lost"]["value"] > 0
    assert found["lost"]["ok"] is False
    assert found["lost"]["judged_by"] == "lost < 90 %"


def test_what_a_scenario_promises_and_does_not_hold_ends_the_run_in_3(stack):
    push = stack.push("push")
    words = [*STREAMS, *numbers(rate=50, duration=1, storm=2), "--slo", "p99<30s,errors<50%"]
    found, result = run(f"{push.host}:{push.port}", "reconnect_storm", *words, code=3)
    assert (found["lost"]["ok"], found["lost"]["judged_by"]) == (False, "")
    assert "Not as it should be: lost (" in result["sentence"]
    assert all(one["ok"] for one in result["thresholds"]), "no threshold was missed"


def test_slow_readers_fall_behind_and_the_fast_ones_lose_nothing(address):
    words = [*STREAMS, *numbers(rate=200, duration=2)]
    found, _ = run(address, "slow_readers", *words, *numbers(share=0.2))
    assert found["fast readers' p99"]["value"] > 0
    assert found["fast readers' lost"]["value"] == 0
    assert found["slow readers behind"]["value"] > 0


def test_slow_readers_that_hold_everybody_up_are_said_to_harm_the_others(instance):
    server = instance("sse", slow="block", send_buffer=4096)
    words = ["--number", "streams=20", "--number", "connections=4", "--slo", "p99<9s,errors<99%,lost<99%"]
    named = {"rate": 60, "duration": 3, "share": 0.2, "channels": 1, "slow_bytes_per_s": 1500}
    found, _ = run(server.address, "slow_readers", *words, *numbers(**named), code=None)
    assert server.counters()["blocks"] > 0
    assert found["harm"]["ok"] is False
    assert found["harm"]["value"] == pytest.approx(
        found["fast readers' p99"]["value"] - found["fast readers' p99 alone"]["value"], abs=0.01
    )
    assert found["harm"]["value"] > 10
    assert found["harm"]["text"].startswith("slow consumers harm the others: their p99 went from ")


@pytest.mark.long
def test_slow_readers_at_an_instance_that_keeps_what_they_are_owed_apart_harm_nobody(instance):
    server = instance("sse", slow="buffer", send_buffer=4096)
    words = ["--number", "streams=20", "--number", "connections=4"]
    named = {"rate": 60, "duration": 3, "share": 0.2, "channels": 1, "slow_bytes_per_s": 400, "harm_limit_ms": 100}
    found, result = run(server.address, "slow_readers", *words, *numbers(**named))
    assert found["harm"]["ok"] is True
    assert found["harm"]["text"].startswith("slow consumers do not harm the others")
    assert found["slow readers behind"]["value"] > 0
    assert [probe["stage"] for probe in result["probes"]] == ["alone", "hold"]
    assert result["totals"]["deliveries"] == 2 * 180 * 16, "of the fast ones alone, in both parts"


def test_without_slow_readers_nobody_is_behind(address):
    found, result = run(address, "slow_readers", *STREAMS, *numbers(rate=100, duration=2, share=0))
    assert found["slow readers behind"]["value"] == 0
    assert result["totals"]["deliveries"] == 200 * 15


def test_a_burst_of_comments_is_told_apart_from_before_and_after(address):
    found, result = run(address, "comment_burst", *STREAMS, *numbers(rate=20, burst=200, duration=1, channels=5))
    assert [name for name in found if name.startswith("p99")] == ["p99 quiet", "p99 burst", "p99 after"]
    assert all(found[name]["value"] > 0 for name in found if name != "lost")
    assert found["lost"]["value"] == 0
    quiet, burst, after = (probe["requests"] for probe in result["probes"])
    assert burst > 4 * max(quiet, after)


def test_publish_and_subscribe_accounts_for_every_delivery_as_the_server_does(push, address):
    found, result = run(address, "publish_and_subscribe", *STREAMS, *numbers(rate=100, duration=2, channels=10))
    assert result["totals"]["deliveries"] == 200 * 3 == metric(push, "deliveries_total")
    assert (found["delivered"]["value"], found["delivered"]["ok"]) == (100, True)
    assert "100 publishes/s" in result["sentence"]
    assert found["delivery p99"]["value"] > 0


@pytest.mark.parametrize(("first_event_limit", "code"), [(2000, 0), (20, 3)])
def test_token_streams_are_judged_by_their_own_limits_where_nobody_names_an_objective(
    instance, first_event_limit, code
):
    server = instance("token-stream", events=10, first_ms=100, between_ms=30)
    words = numbers(rate=10, duration=1, first_event_limit_ms=first_event_limit, between_limit_ms=2000)
    _, result = run(server.address, "token_stream", *words, code=code)
    asked = [threshold["text"] for threshold in result["thresholds"]]
    assert asked[:3] == [f"first_event_p99 < {first_event_limit} ms", "between_p99 < 2000 ms", "errors < 0.1 %"]


def test_an_api_mix_asks_for_what_its_file_says_in_turn(instance, tmp_path):
    server = instance("null")
    listed = tmp_path / "requests.txt"
    listed.write_text('GET /a\nGET /b\nPOST /c {"d": 1}\n', encoding="utf-8")
    found, result = run(server.address, "api_mix", *numbers(rate=100, duration=2, connections=4, file=listed))
    assert result["totals"]["requests"] == 200 == server.counters()["requests"]
    assert (found["answered well"]["value"], found["answered well"]["text"]) == (100, "200: 200")
    assert found["service p99"]["value"] > 0


def test_an_api_mix_asks_as_the_users_of_a_file_each_with_its_own_cookie(tmp_path):
    seen = []

    class Recording(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Cookie"], json.loads(body)["by"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    (tmp_path / "requests.txt").write_text(
        'POST /c/${uid} {"by": "${uid}"}\n  Cookie: uid=${uid}; session=${session}\n'
    )
    users = {f"user {number}": f"s{number}" for number in range(30)}
    (tmp_path / "users.csv").write_text("uid,session\n" + "".join(f"{uid},{s}\n" for uid, s in users.items()))
    files = numbers(file=tmp_path / "requests.txt", users=tmp_path / "users.csv")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            words = (*numbers(rate=60, duration=1, connections=4), *files, "--processes", "2")
            _, result = run(f"127.0.0.1:{server.server_port}", "api_mix", *words)
        finally:
            server.shutdown()
    assert result["totals"]["requests"] == 60
    assert Counter(seen) == {
        (f"/c/{quote(uid)}", f"uid={uid}; session={session}", uid): 2 for uid, session in users.items()
    }


def test_token_streams_are_timed_as_the_server_sends_them(instance):
    server = instance("token-stream", events=10, first_ms=60, between_ms=20)
    words = numbers(rate=10, duration=2, first_event_limit_ms=1000, between_limit_ms=500)
    found, result = run(server.address, "token_stream", *words, "--slo", "p99<2s,first_event_p99<1s,errors<0.1%")
    counted = server.counters()
    assert result["totals"]["requests"] == 20 == counted["completed"]
    assert 55 <= found["first event p50"]["value"] <= found["first event p99"]["value"]
    assert 15 <= found["between events p50"]["value"] <= found["between events p99"]["value"]
    assert found["events a stream"]["value"] == 10
    assert found["goodput"]["text"].startswith("20 of 20")
    assert found["goodput"]["value"] == pytest.approx(10, rel=0.1)
    assert result["latency"]["p50_ms"] >= 60 + 9 * 20 - 10, "of a stream that ends by itself the objective is its end"


class Recording(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"ok")

    do_HEAD = do_GET  # noqa: N815 - so it is looked up

    def log_message(self, *_):
        pass


@pytest.fixture
def recording():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        server.daemon_threads = True
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def test_each_request_of_a_log_is_replayed_once_whoever_of_the_workers_sends_it(recording, tmp_path):
    log = tmp_path / "access.log"
    line = '127.0.0.1 - - [13/Mar/2013:19:06:{:02d} +0000] "{} /{} HTTP/1.1" 200 5 "-" "b"\n'
    methods = ["GET", "GET", "HEAD", "GET", "POST"]
    rows = [(number // 10, methods[number % 5], number) for number in range(200)]
    log.write_text("".join(line.format(*row) for row in rows), encoding="utf-8")
    address = f"127.0.0.1:{recording.server_port}"
    found, result = run(address, "replay", *numbers(file=log, speed=10, connections=4), "--processes", "2")
    assert sorted(recording.asked) == sorted((method, f"/{number}") for _, method, number in rows if method != "POST")
    assert result["totals"]["requests"] == 160
    assert (found["replayed"]["value"], found["replayed"]["ok"]) == (160, True)
    assert "40 lines were left out" in found["replayed"]["text"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_recording_is_replayed_with_its_headers_and_what_may_not_be_sent_again_is_left_out(
    recording, tmp_path, packed
):
    header = {"darktime_recording": 1, "experiment": "first", "key": "cookie:uid", "began": 1795643965.691}
    lines = [json.dumps(header)]
    methods = ["GET", "HEAD", "POST", "GET"]
    for number in range(40):
        target = "/logout" if number == 39 else f"/{number}"
        asked = {"at": number / 20, "id": f"{number:032x}", "user": f"{number % 3:016x}", "method": methods[number % 4]}
        lines.append(json.dumps(asked | {"target": target, "headers": [["Host", "www.example.org"]]}))
        lines.append(json.dumps({"id": f"{number:032x}", "answer": {"status": 200}}))
    file = tmp_path / "recording.jsonl"
    text = "\n".join([*lines, "no line at all", ""]).encode()
    file.write_bytes(gzip.compress(text) if packed else text)
    address = f"127.0.0.1:{recording.server_port}"
    found, result = run(address, "replay", *numbers(file=file, speed=2, connections=4), "--processes", "2")
    expected = [(methods[number % 4], f"/{number}") for number in range(39) if methods[number % 4] != "POST"]
    assert sorted(recording.asked) == sorted(expected)
    assert result["totals"]["requests"] == len(expected) == 29
    assert (found["replayed"]["value"], found["replayed"]["ok"]) == (29, True)
    assert "12 lines were left out" in found["replayed"]["text"]


def locust(file, url, folder, *words, **variables):
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(file),
        "--headless",
        "-u",
        "1",
        "-t",
        "5s",
        "--host",
        url,
        *words,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )


def listed_by_locust(file, url, folder, *words):
    done = locust(file, url, folder, "--json", "--skip-log-setup", *words)
    assert done.returncode == 0, done.stderr
    return {(row["method"], row["name"]): row for row in json.loads(done.stdout)}


def test_plain_locust_runs_a_scenario_and_its_total_is_the_servers_own(instance, tmp_path):
    server = instance("null")
    file = ROOT / "scenarios" / "steady.py"
    listed = listed_by_locust(file, server.url, tmp_path, *numbers(rate=200, duration=2, connections=4))
    assert listed["GET", "/"]["num_requests"] == 400 == server.counters()["requests"]
    assert listed["GET", "/"]["num_failures"] == 0


def test_a_push_scenario_under_plain_locust_has_the_servers_own_totals(push, tmp_path):
    file, exact = ROOT / "scenarios" / "publish_and_subscribe.py", tmp_path / "exact.json"
    words = [*STREAMS, *numbers(rate=100, duration=1, channels=10), "--exact", str(exact)]
    listed = listed_by_locust(file, f"http://{push.host}:{push.port}", tmp_path, *words)
    assert listed["POST", "/pub"]["num_requests"] == 100 == metric(push, "published_total")
    assert listed["EVENT", "delivery"]["num_requests"] == 100 * 3 == metric(push, "deliveries_total")
    assert listed["EVENT", "delivery"]["num_failures"] == 0
    totals = json.loads(exact.read_text())["totals"]
    assert (totals["requests"], totals["deliveries"], totals["lost"]) == (100, 300, 0)


@pytest.mark.long
def test_a_shape_of_locusts_phases_cohorts_as_the_documentation_says(push, tmp_path):
    (shape,), exact = fences("py"), tmp_path / "exact.json"
    (tmp_path / "phases.py").write_text(shape, encoding="utf-8")
    words = [*STREAMS, *numbers(rate=50, duration=1, channels=10), "--exact", str(exact)]
    host = f"http://{push.host}:{push.port}"
    argv = [sys.executable, "-m", "locust", "-f", "phases.py", "--host", host, "--headless", "--processes", "2", *words]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(exact.read_text())
    assert sorted(worker["requests"] for worker in figures["workers"]) == [50, 100], "the first has both phases"
    assert figures["totals"]["requests"] == 150 == metric(push, "published_total")
    assert figures["totals"]["deliveries"] == 150 * 3 == metric(push, "deliveries_total")
    busy = [row["t"] for row in figures["series"] if row["requests"]]
    assert max(busy) - min(busy) >= 3, "the second phase began four seconds after the first"


@pytest.mark.parametrize(
    ("words", "variables", "named"),
    [
        ([], {"DARKTIME_BLAST_MAX_RATE": "10"}, "the limit is 10/s"),
        (["--number", "rat=5"], {}, "it has no number 'rat'"),
    ],
    ids=["rate", "number"],
)
def test_plain_locust_ends_with_exit_2_and_the_reason_where_a_run_may_not_be(
    instance, tmp_path, words, variables, named
):
    server = instance("null")
    done = locust(ROOT / "scenarios" / "steady.py", server.url, tmp_path, *words, **variables)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count(named) == 1
    assert "Traceback" not in done.stderr
    assert server.counters()["requests"] == 0


# At 50 a second errors end it after a second and a half, when they are 75; of five seconds there would be 250.
ERRING = {"rate": 50, "duration": 5, "connections": 4}
SOON = 150


def test_an_instance_that_only_errs_is_left_in_peace_by_a_scenario_too(instance):
    server = instance("erring", error=1)
    _, result = run(server.address, "steady", *numbers(**ERRING), code=3)
    assert result["totals"]["requests"] == server.counters()["requests"] < SOON
    assert "It was ended in plan 1 of 1 of the scenario: 100% errors." in result["sentence"]


def test_what_a_scenario_found_until_errors_ended_its_last_plan_is_told(instance):
    server = instance("erring", error=1)
    _, result = run(server.address, "api_mix", *numbers(**ERRING), code=3)
    assert "It was ended in plan 1 of 1 of the scenario: 100% errors." in result["sentence"]
    found = {finding["name"]: finding["value"] for finding in result["findings"]}
    assert found["answered well"] == 0


TWICE = """
from darktime.blast.plan import Plan
from darktime.blast.scenario import Finding
from scenarios.steady import Steady

class Twice(Steady):
    doc = "two plans"

    def plans(self):
        return 2 * [Plan(stage="hold", rate_per_s=50.0, duration_s=5.0, drain_s=1.0)]

    def findings(self, offered):
        return [Finding(name="plans", value=len(offered), unit="", text="")]
"""


def test_nothing_is_found_by_a_scenario_whose_other_plans_were_not_offered(instance, tmp_path):
    server, file = instance("erring", error=1), tmp_path / "twice.py"
    file.write_text(TWICE)
    file.with_suffix(".toml").write_text('path = "/"\nconnections = 4\n')
    _, result = run(server.address, file, code=3)
    assert "It was ended in plan 1 of 2 of the scenario: 100% errors." in result["sentence"]
    assert result["findings"] == []


def test_an_instance_that_only_errs_is_left_in_peace_by_plain_locust_too(instance, tmp_path):
    server, said = instance("erring", error=1), tmp_path / "said"
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "scenarios" / "steady.py"), "--headless", "-u", "1"]
    with said.open("w") as stderr:
        locust = subprocess.Popen(
            [*command, "--host", server.url, *numbers(**ERRING)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            wait_until(lambda: "nothing more is sent: 100% errors" in said.read_text(), timeout_s=25, what="its word")
            assert server.counters()["requests"] < SOON
        finally:
            locust.terminate()
            locust.wait(10)
    assert locust.returncode == 1, "Locust's own, for requests that failed"


def test_a_scenario_that_is_about_errors_goes_on(instance, own_file):
    own_file.write_text(
        own_file.read_text(encoding="utf-8").replace("Scenario):\n", "Scenario):\n    patient = True\n", 1)
    )
    server = instance("erring", error=1)
    _, result = run(server.address, own_file, code=3)
    assert result["totals"]["requests"] == 200 == server.counters()["requests"]


def fences(language):
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def own_file(tmp_path):
    (code,), (values,) = fences("python"), fences("toml")
    assert sum(bool(line) for line in code.splitlines()) <= 10
    (tmp_path / "health.py").write_text(code, encoding="utf-8")
    (tmp_path / "health.toml").write_text(values, encoding="utf-8")
    return tmp_path / "health.py"


def test_a_locustfile_of_ten_lines_runs_as_the_documentation_says(instance, tmp_path, own_file):
    server = instance("null")
    listed = listed_by_locust(own_file, server.url, tmp_path)
    assert listed["GET", "/health"]["num_requests"] == 200 == server.counters()["requests"]


def test_somebodys_own_file_is_a_scenario_of_the_command_too(instance, own_file):
    server = instance("null")
    _, result = run(server.address, own_file)
    assert result["totals"]["requests"] == 200 == server.counters()["requests"]


def test_a_scenarios_peak_may_not_be_beyond_the_limit(instance):
    server = instance("null")
    words = ["--instance", server.address, "--max-rate", "150", "--scenario", "pope", *numbers(speed=195)]
    command = [sys.executable, "-m", "darktime.blast", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=28, check=False, cwd=ROOT)
    assert done.returncode == 2, "the curve's mean is below it, its peak is not"
    assert "the limit is 150/s" in done.stderr
    assert server.counters()["requests"] == 0


def test_every_scenario_is_in_the_table_of_the_documentation_and_has_its_numbers_beside():
    listed = re.findall(r"^\| `(\w+)` \|", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == names()
    for name in names():
        assert (ROOT / "scenarios" / f"{name}.toml").is_file()
        assert len((ROOT / "scenarios" / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_scenario_has_a_line_about_itself_and_can_be_planned_from_its_own_numbers():
    code = (
        "from darktime.blast.catalogue import load, names\n"
        "for name in names():\n"
        "    scenario = load(name, {})\n"
        "    assert scenario.doc and scenario.plans() and scenario.peak_rate_per_s() > 0, name\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=28, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
