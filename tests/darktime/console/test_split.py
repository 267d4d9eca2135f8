"""``darktime split --percent 5``, as written in the README."""

import http.client
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from darktime.split.steering import whoami
from realtime_core.free_ports import free_port
from tests.support.ports import refuses
from tests.support.processes import descendants, describe, running
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

DARKTIME = Path(sys.executable).parent / "darktime"
TOML = """\
[split]
production = "{production}"
dark = "{dark}"
listen = "127.0.0.1:{port}"
key = "cookie:uid"
max_percent = 100
dark_state = "isolated"
"""


def ended(tmp_path, *words, key=("--key", "cookie:uid")):
    """Run a split that is to end by itself."""
    command = [DARKTIME, "split", "--percent", "5", *key, *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=25, check=False)


@contextmanager
def splitting(tmp_path, production, dark, *words):
    """A split that runs: its process, and the port it takes production's requests on."""
    port = free_port()
    (tmp_path / "darktime.toml").write_text(TOML.format(production=production, dark=dark, port=port))
    percent = () if "--ramp" in words else ("--percent", "5")
    command = [DARKTIME, "split", *percent, "--out", "run", "--json", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as split:
        try:
            wait_until(lambda: split.poll() is not None or (tmp_path / "run" / "split.json").exists(), timeout_s=20)
            assert split.poll() is None, f"it ended with {split.returncode} before it began: {split.communicate()}"
            yield split, port
        finally:
            split.terminate()
            split.wait(20)


@pytest.fixture
def forward():
    """A load balancer's part: passes each connection on to a port of this machine; where it listens."""
    made = []

    def begin(port):
        class Pass(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as there:
                    said = self.request.recv(65536)
                    if said:
                        there.sendall(said)
                        self.request.sendall(there.recv(65536))

            def finish(self):
                self.request.close()

        class Server(socketserver.ThreadingTCPServer):
            def handle_error(self, request, client_address):
                """Nobody listens behind it yet: this one is closed, as a load balancer would."""

        server = Server(("127.0.0.1", 0), Pass)
        made.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        return f"127.0.0.1:{server.server_address[1]}"

    yield begin
    for server in made:
        server.shutdown()
        server.server_close()


USERS = 19  # one fewer than a latency is judged from: a busy machine must not decide how a test ends


def ask(port):
    """One request of each user; all must be answered."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for number in range(USERS):
        link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number}"})
        reply = link.getresponse()
        assert reply.status == 200
        assert reply.read()
    link.close()


def child(pid, words):
    """The one process below ``pid`` whose command line has those words."""
    (found,) = [one for one in descendants(pid) if words in describe(one)]
    return found


def test_without_urls_it_ends_with_2_and_the_two_lines_to_add(tmp_path):
    done = ended(tmp_path)
    assert done.returncode == 2
    assert 'production = "http://127.0.0.1:8000"' in done.stderr
    assert 'dark = "http://127.0.0.1:8001"' in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--dark-state"),
        (["--dark-state", "shared"], "--path"),
        (["--dark-state", "shared", "--path", "thread/"], "characters that are not taken"),
    ],
)
def test_what_the_dark_instance_may_change_must_be_said(tmp_path, stack, words, said):
    production, dark = stack.push("production"), stack.push("dark")
    done = ended(tmp_path, "--production", production.url, "--dark", dark.url, *words)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("command", ["split", "record"])
@pytest.mark.parametrize("listen", ["127.0.0.1:80;", "", "x:y", "127.0.0.1", "127.0.0.1:0", ":8080", "::1:80"])
def test_where_it_listens_is_an_address_or_refused_by_its_name(tmp_path, capsys, monkeypatch, command, listen):
    from darktime.console.main import DARKTIME, run

    monkeypatch.chdir(tmp_path)
    words = ["--production", "http://127.0.0.1:9", "--percent", "5", "--key", "cookie:uid"]
    words += ["--dark", "http://127.0.0.1:10", "--dark-state", "isolated"] if command == "split" else []
    assert run(DARKTIME, [command, *words, "--listen", listen]) == 2
    assert f"--listen {listen!r}: HOST:PORT" in capsys.readouterr().err


def test_what_makes_a_user_must_be_said(tmp_path):
    words = ("--production", "http://127.0.0.1:1", "--dark", "http://127.0.0.1:2", "--dark-state", "isolated")
    done = ended(tmp_path, *words, key=())
    assert done.returncode == 2
    assert "say --key" in done.stderr
    assert "darktime plan" in done.stderr


def test_a_margin_that_it_could_not_judge_by_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "darktime.toml").write_text("[verdict]\ncoverage = 2.0\n")
    done = ended(
        tmp_path, "--production", "http://127.0.0.1:1", "--dark", "http://127.0.0.1:2", "--dark-state", "isolated"
    )
    assert done.returncode == 2
    assert "coverage 2.0: give one between 0 and 1" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["http://localhost:{port}", "http://127.0.0.2:{port}", "http://127.0.0.1:{port}"])
def test_production_under_another_name_is_refused(tmp_path, stack, name):
    production = stack.push("production", listen=("0.0.0.0", 0), options=["--public"])
    given = ["--production", f"http://127.0.0.1:{production.port}", "--dark", name.format(port=production.port)]
    done = ended(tmp_path, *given, "--dark-state", "isolated", "--duration", "1")
    assert done.returncode == 2, done.stderr
    assert "would hurt it" in done.stderr


@pytest.mark.parametrize("dead", ["production", "dark"])
def test_an_instance_where_nobody_listens_is_refused(tmp_path, stack, dead):
    alive = {"production": stack.push("a").url, "dark": stack.push("b").url} | {dead: f"http://127.0.0.1:{free_port()}"}
    given = ["--production", alive["production"], "--dark", alive["dark"], "--dark-state", "isolated"]
    done = ended(tmp_path, *given, "--duration", "1")
    assert done.returncode == 2
    assert f"{dead} {alive[dead]}: nobody listens there" in done.stderr


def test_a_dark_name_that_leads_back_to_productions_front_is_refused(tmp_path, stack, forward):
    """As a public name would, whose load balancer asks our nginx."""
    production, port = stack.push("production"), free_port()
    back = f"http://{forward(port)}"
    given = [
        "--production",
        production.url,
        "--dark",
        back,
        "--listen",
        f"127.0.0.1:{port}",
        "--dark-state",
        "isolated",
    ]
    done = ended(tmp_path, *given, "--duration", "1")
    assert done.returncode == 2, done.stderr
    assert "leads back" in done.stderr


def test_a_relay_that_dies_costs_production_nothing_and_the_results_are_kept(tmp_path, stack):
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url) as (split, port):
        ask(port)
        os.kill(child(split.pid, "darktime.split.relay"), signal.SIGKILL)
        for line in iter(split.stderr.readline, ""):
            if "relay died" in line:
                break
        ask(port)
        split.terminate()
        out, _ = split.communicate(timeout=20)
    results = json.loads(out)
    assert split.returncode == results["exit_code"] == 5
    require_schema(results)
    assert "relay died" in results["verdict"]["reasons"][0]
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    again = subprocess.run(
        [DARKTIME, "verdict", "run", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    told = json.loads(again.stdout)
    assert again.returncode == 5
    assert {key: told[key] for key in results["verdict"]} == results["verdict"]


def test_an_agent_that_dies_is_said_and_judging_goes_on(tmp_path, stack):
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url, "--percent", "100") as (split, port):
        os.kill(child(split.pid, "darktime.split.agent"), signal.SIGKILL)
        for line in iter(split.stderr.readline, ""):
            if "agent died" in line:
                break
        ask(port)
        state = tmp_path / "run" / "relay.json"
        wait_until(lambda: json.loads(state.read_text())["compared"] == USERS, timeout_s=10)
        split.terminate()
        out, _ = split.communicate(timeout=20)
    results = json.loads(out)
    assert split.returncode == results["exit_code"] == 5
    assert "agent died" in results["verdict"]["reasons"][0]
    assert results["copies"]["compared"] == USERS
    (incident,) = results["incidents"]
    assert incident["what"].startswith("agent died")
    assert results["ramps"][0]["at"] <= incident["at"] <= time.time()


def test_an_nginx_that_dies_ends_the_split_and_the_results_are_kept(tmp_path, stack):
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url) as (split, _):
        os.kill(child(split.pid, "master process"), signal.SIGKILL)
        out, err = split.communicate(timeout=20)
    assert split.returncode == json.loads(out)["exit_code"] == 1
    assert "nginx died" in err


def test_a_ledger_that_dies_ends_the_reconciling_and_nothing_else(tmp_path, stack):
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url) as (split, port):
        os.kill(child(split.pid, "valkey-server"), signal.SIGKILL)
        ask(port)
        split.terminate()
        out, _ = split.communicate(timeout=25)
    results = json.loads(out)
    require_schema(results)
    assert split.returncode == results["exit_code"] == 5
    assert "Redis of the ledger does not answer" in results["verdict"]["reasons"][0]
    assert results["ledger"] == []


def test_kill_9_of_the_command_ends_its_nginx_and_everything_else_within_two_seconds(tmp_path, stack):
    """The README says so: today's nginx is the command's own child."""
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url) as (split, port):
        below = descendants(split.pid)
        assert not refuses(port)
        split.kill()
        wait_until(lambda: refuses(port) and not any(map(running, below)), timeout_s=2)


def test_it_leaves_no_key_in_a_redis_of_somebody_else(tmp_path, stack):
    valkey = stack.valkey()
    with splitting(
        tmp_path, stack.push("production").url, stack.push("dark").url, "--redis", valkey.url, "--percent", "100"
    ) as (
        split,
        port,
    ):
        ask(port)
        with valkey.client() as client:
            wait_until(client.dbsize, timeout_s=10)
            split.terminate()
            split.communicate(timeout=20)
            assert client.dbsize() == 0


def readmes_commands():
    """The two lines of the README's block."""
    text = (Path(__file__).parents[3] / "README.md").read_text()
    (block,) = [block.split("```")[0] for block in text.split("```sh\n")[1:] if block.startswith("darktime init")]
    return block.splitlines()


def test_init_and_split_run_as_the_readme_writes_them(tmp_path, stack):
    """Nothing is added but the addresses, which its reader writes into the file too."""
    production, dark, port = stack.push("production"), stack.push("dark"), free_port()
    init, split = readmes_commands()
    environment = os.environ | {"PATH": f"{DARKTIME.parent}:{os.environ['PATH']}"}
    subprocess.run(init.split(), cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=20)
    settings = tmp_path / "darktime.toml"
    text = settings.read_text()
    for written, ours in {
        "http://127.0.0.1:8000": production.url,
        "http://127.0.0.1:8001": dark.url,
        "127.0.0.1:8080": f"127.0.0.1:{port}",
    }.items():
        assert text.count(written) == 1
        text = text.replace(written, ours)
    settings.write_text(text)
    with subprocess.Popen(
        split.split(), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running_split:
        try:
            wait_until(lambda: list(tmp_path.glob("runs/*-split/split.json")), timeout_s=20)
            ask(port)
        finally:
            running_split.send_signal(signal.SIGINT)
        out, err = running_split.communicate(timeout=20)
    assert running_split.returncode == 5, err
    assert out.startswith("VERDICT    WAIT")
    assert len(list(tmp_path.glob("runs/*-split/report.html"))) == 1


def test_it_mirrors_sampled_users_until_it_is_stopped_and_ends_with_a_verdict(tmp_path, stack):
    (tmp_path / "endpoints.txt").write_text("/channels-{what}\n")
    words = ("--endpoints", "endpoints.txt")
    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url, *words) as (split, port):
        who = subprocess.run(
            [DARKTIME, "who", "somebody", "--run", "run"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "mirrored from" in who.stdout
        ramp = [DARKTIME, "ramp", "100", "--run", "run"]
        assert "5 % -> 100 %" in subprocess.run(ramp, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        ask(port)
        state = tmp_path / "run" / "relay.json"
        wait_until(lambda: json.loads(state.read_text())["compared"] == USERS, timeout_s=10)
        subprocess.run([DARKTIME, "kill", "--run", "run"], cwd=tmp_path, capture_output=True, check=True)
        split.terminate()
        out, err = split.communicate(timeout=20)
    results = json.loads(out)
    assert split.returncode == results["exit_code"] == 5, err
    require_schema(results)
    assert results["verdict"]["outcome"] == "WAIT"
    assert results["copies"]["received"] == results["copies"]["compared"] == USERS
    users = results["users"]
    assert (users["sampled"], users["at_least"]) == (USERS, False)
    assert [(step["percent"], step["buckets"], step["users"]) for step in users["steps"]] == [
        (5, 50, 0), (100, 1000, USERS),
    ]  # fmt: skip
    assert users["steps"][1]["of"] == {"low": USERS, "high": USERS}
    assert "1,000 of 1,000" in (tmp_path / "run" / "report.html").read_text()
    pairs = [json.loads(line) for line in (tmp_path / "run" / "pairs.jsonl").read_text().splitlines()]
    assert {pair["endpoint"] for pair in pairs} == {"/channels-{what}"}
    assert sum(row["pairs"] for row in results["timeline"]["rows"]) == USERS
    (seen,) = results["endpoints_seen"]["endpoints"]
    assert (seen["endpoint"], seen["pairs"], seen["coverage"]) == ("/channels-{what}", USERS, 1.0)
    way = results["way"]
    assert (way["offered"], way["received"], way["compared"], way["open"]) == (USERS, USERS, USERS, 0)
    assert [(one["submitted"], one["answered"]) for one in way["instances"]] == [(USERS, USERS)]
    assert results["hosts"]["all"] == [results["hosts"]["here"]]


def test_every_kill_and_resume_is_recorded_by_command_or_by_hand_with_who_and_why(tmp_path, stack):
    def darktime(*words):
        subprocess.run([DARKTIME, *words, "--run", "run"], cwd=tmp_path, capture_output=True, check=True, timeout=20)

    with splitting(tmp_path, stack.push("production").url, stack.push("dark").url) as (split, _):
        ramps = tmp_path / "run" / "ramps.jsonl"
        kill_file = Path(json.loads((tmp_path / "run" / "split.json").read_text())["folder"]) / "kill"
        darktime("kill", "--why", "it hurts")
        darktime("kill")  # changes nothing
        darktime("ramp", "7")
        darktime("kill", "--resume", "--why", "it was something else")
        kill_file.touch()
        wait_until(lambda: ramps.read_text().count('"kill"') == 2, timeout_s=10, what="a kill by hand")
        kill_file.unlink()
        wait_until(lambda: ramps.read_text().count('"resume"') == 2, timeout_s=10, what="a resume by hand")
        kill_file.touch()
        split.terminate()
        out, err = split.communicate(timeout=20)
    results, me = json.loads(out), whoami()
    require_schema(results)
    assert [(one.get("what"), one["who"], one["from"], one["to"], one["why"]) for one in results["ramps"]] == [
        (None, me, 0, 5, "the experiment begins"),
        ("kill", me, 5, 0, "it hurts"),
        (None, me, 5, 7, ""),
        ("resume", me, 0, 7, "it was something else"),
        ("kill", tmp_path.owner(), 7, 0, "the kill file, by hand"),
        ("resume", "somebody", 0, 7, "the kill file, by hand"),
        ("kill", tmp_path.owner(), 7, 0, "the kill file, by hand"),
    ]
    assert [one["at"] for one in results["ramps"]] == sorted(one["at"] for one in results["ramps"])
    assert "mirroring was killed by hand" in err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "it was something else" in page
    assert ">resume<" in page


@pytest.mark.parametrize("ttl", ["inf", "nan", "0", "-1", "1e9"])
def test_nothing_is_mirrored_for_ever(tmp_path, ttl):
    done = ended(
        tmp_path,
        "--production",
        "http://127.0.0.1:9",
        "--dark",
        "http://127.0.0.1:8",
        "--ttl",
        ttl,
        "--dark-state",
        "isolated",
    )
    assert done.returncode == 2
    assert "--ttl" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_holds_results_gets_no_others(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pairs.jsonl").write_text("")
    words = ("--production", "http://127.0.0.1:9", "--dark", "http://127.0.0.1:8", "--dark-state", "isolated")
    done = ended(tmp_path, *words, "--out", "run")
    assert done.returncode == 2
    assert "holds a split's results already" in done.stderr


def ask_until_over(split, port):
    """Requests of many users until the split ends by itself."""
    number = 0
    try:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        while split.poll() is None:
            number += 1
            link.request("GET", "/channels-stats", headers={"Cookie": f"uid=user-{number % 1000}"})
            link.getresponse().read()
    except (OSError, http.client.HTTPException):
        return  # it takes its nginx with it


def test_a_run_that_has_filled_the_file_of_pairs_ends_by_itself_and_nothing_is_missing(tmp_path, stack):
    production, dark = stack.push("production").url, stack.push("dark").url
    words = ("--percent", "100", "--pairs-mb", "1")
    with splitting(tmp_path, production, dark, *words) as (split, port):
        ask_until_over(split, port)
        out, err = split.communicate(timeout=25)
    results = json.loads(out)
    require_schema(results)
    assert "the file of pairs is full" in results["cut_short"], err
    assert "--pairs-mb" in results["cut_short"]
    assert results["incidents"] == []
    assert not any("had no room" in reason for reason in results["verdict"]["reasons"])
    written = (tmp_path / "run" / "pairs.jsonl").read_text().splitlines()
    assert 0 < results["copies"]["compared"] == len(written)
    assert results["latency"]["dark"]["pairs"] == len(written)


@pytest.mark.parametrize("size", ["0", "16385", "-1"])
def test_a_file_of_pairs_of_no_use_is_refused_before_anything_starts(tmp_path, size):
    words = ("--production", "http://127.0.0.1:1", "--dark", "http://127.0.0.1:2", "--dark-state", "isolated")
    done = ended(tmp_path, *words, "--pairs-mb", size)
    assert done.returncode == 2
    assert f"--pairs-mb {size}: 1 to 16,384, please" in done.stderr


@pytest.mark.long
def test_a_function_that_never_returns_is_named_while_it_hangs_and_is_no_go(tmp_path, stack):
    (tmp_path / "hanging.py").write_text("import time\ndef transform(copy):\n    time.sleep(10**6)\n")
    production, dark = stack.push("production").url, stack.push("dark").url
    with splitting(tmp_path, production, dark, "--percent", "100", "--transform", "hanging:transform") as (split, port):
        ask(port)
        hung = next(line for line in iter(split.stderr.readline, "") if "hangs" in line)
        told = subprocess.run(
            [DARKTIME, "status", "--run", "run", "--once"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        split.terminate()
        out, err = split.communicate(timeout=25)
    assert "relay hangs: its loop has not turned for" in hung
    assert "in a call of hanging:transform" in hung
    assert "relay hangs: its loop has not turned for" in " ".join(told.split())
    results = json.loads(out)
    require_schema(results)
    assert split.returncode == results["exit_code"] == 5, err
    assert "relay hangs" in results["verdict"]["reasons"][0]


@pytest.mark.long
def test_a_relay_that_begins_to_hang_just_before_the_end_is_no_go(tmp_path, stack):
    """What it had settled by then looks as if all were through."""
    production, dark = stack.push("production").url, stack.push("dark").url
    with splitting(tmp_path, production, dark, "--percent", "100") as (split, port):
        ask(port)
        state = tmp_path / "run" / "relay.json"
        wait_until(lambda: json.loads(state.read_text())["compared"] == USERS, timeout_s=10, what="all compared")
        os.kill(child(split.pid, "/relay.sock"), signal.SIGSTOP)
        split.terminate()
        out, err = split.communicate(timeout=25)
    results = json.loads(out)
    assert split.returncode == 5, err
    assert "relay hangs" in results["verdict"]["reasons"][0]
    assert results["incidents"][0]["what"] == results["verdict"]["reasons"][0]


def test_a_copy_is_looked_for_at_the_start_and_after_a_ramp_from_nobody(tmp_path, stack):
    """Of our own nginx, without production."""
    production, dark = stack.push("production").url, stack.push("dark").url
    with splitting(tmp_path, production, dark) as (split, _):
        before = wait_until(lambda: probed(tmp_path), 10, "the copy of the start")
        ramp(tmp_path, "0")
        # Who watches looks twice a second; it has seen that nobody is in once it says so.
        assert split.stderr is not None
        said = iter(split.stderr.readline, "")
        assert any("5 % -> 0 %" in line for line in said)
        ramp(tmp_path, "10")
        assert any("a copy of a request of our own has arrived" in line for line in said)
        assert probed(tmp_path) > before
        split.terminate()
        out, _ = split.communicate(timeout=20)
    results = json.loads(out)
    assert results["copies"]["received"] == 0
    assert not results["incidents"]


def test_a_probe_in_the_settings_file_sends_one_request_all_the_way(tmp_path, stack):
    production, dark, port = stack.push("production").url, stack.push("dark").url, free_port()
    toml = TOML.format(production=production, dark=dark, port=port)
    (tmp_path / "darktime.toml").write_text(f'{toml}probe = "http://127.0.0.1:{port}/channels-stats"\nttl = "1m"\n')
    done = ended(tmp_path, "--duration", "0.2s", "--out", "second", "--json", key=())
    assert done.returncode == 5, done.stderr
    assert "a copy of the request of darktime-probe-" in done.stderr
    assert json.loads(done.stdout)["copies"]["received"] == 1


def probed(tmp_path):
    try:
        return json.loads((tmp_path / "run" / "relay.json").read_text())["probed"]
    except FileNotFoundError:
        return 0


def ramp(tmp_path, percent):
    argv = [DARKTIME, "ramp", percent, "--run", "run"]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20)
