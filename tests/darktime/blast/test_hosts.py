"""Workers on other hosts: what they count together is what the server counted; who does not fit is told so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from darktime.report import text_summary, validate
from realtime_core.free_ports import free_port
from realtime_core.stack import ready_line
from tests.support.namespaces import network, require_time_namespaces
from tests.support.waiting import wait_until

pytestmark = pytest.mark.quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_core.stack import Stack
    from tests.darktime.blast.instances import Instance
    from tests.support.namespaces import Host

ROOT = Path(__file__).parents[3]
ASK = "import sys,urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())"
COMMAND = [sys.executable, "-c", "import sys; from darktime.console.main import darkesttime; darkesttime()"]


class Process:
    """A command under way, and what it says meanwhile."""

    def __init__(self, folder: Path, number: int, argv: list[str]) -> None:
        self._said = folder / f"{number}.err"
        self._out = folder / f"{number}.out"
        with self._said.open("w") as said, self._out.open("w") as out:
            self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=said)

    @property
    def said(self) -> str:
        """On stderr."""
        return self._said.read_text()

    def awaits(self, words: str, limit_s: float = 15.0) -> None:
        """Wait until it has said so."""
        wait_until(lambda: words in self.said or self.process.poll() is not None, limit_s, words)
        assert words in self.said, self.said

    def end(self, limit_s: float = 25.0) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        return self.process.wait(limit_s), self._out.read_text()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start the command, on a host or here; killed at the end."""
    started: list[Process] = []
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:

        def begin(*words: str, host: Host | None = None, before: tuple[str, ...] = (), module: str = "") -> Process:
            argv = [*COMMAND, "blast"]
            if module:
                argv = [sys.executable] if module == "-" else [sys.executable, "-m", module]
            prefix = host.prefix if host is not None else ()
            started.append(Process(Path(folder), len(started), [*prefix, *before, *argv, *words]))
            return started[-1]

        with ExitStack() as ends:
            yield begin
            for one in started:
                if one.process.poll() is None:
                    one.process.kill()
                ends.callback(one.process.wait)


class Away:
    """A server on one of the hosts; its counters are asked from there."""

    def __init__(self, stack: Stack, host: Host, name: str, *words: str) -> None:
        argv = [
            *host.prefix,
            sys.executable,
            "-m",
            "tests.darktime.blast.servers",
            name,
            "--host",
            host.address,
            *words,
        ]
        service = stack.start(name, argv, ready="control on ", cwd=ROOT)
        self.host = host
        self.address = ready_line(service, "listening on ")
        self._control = ready_line(service, "control on ")

    def counters(self) -> dict[str, float]:
        """What the server counted itself."""
        told: dict[str, float] = json.loads(
            self.host.run([sys.executable, "-c", ASK, f"http://{self._control}/__counters"])
        )
        return told


def master(server: Away, *words: str, rate: int, duration: int, workers: int = 2) -> list[str]:
    host = server.host.address
    allowed = ["--allow", host, "--max-rate", "2000"]
    listens = ["--master", "--expect-workers", str(workers), "--master-bind-host", host]
    plan = ["--rate", str(rate), "--duration", str(duration)]
    return ["--instance", server.address, "--path", "/", *allowed, *listens, *plan, *words]


def test_two_hosts_together_send_what_one_process_sends_and_the_server_counted(
    stack: Stack, start: Callable[..., Process], tmp_path: Path
) -> None:
    with network(3) as (hub, one, two):
        server = Away(stack, hub, "null")
        head = start(*master(server, "--json", "--out", str(tmp_path / "both"), rate=600, duration=2), host=hub)
        head.awaits("waiting for 2 workers")
        hands = [start("--worker", "--master-host", hub.address, host=host) for host in (one, two)]
        code, out = head.end()
        assert code == 0, head.said
        result = json.loads(out)
        counted = server.counters()
        for hand in hands:
            assert hand.end()[0] == 0, hand.said
            assert "joined" in hand.said
            assert "the run has ended" in hand.said
        alone = start(
            *["--instance", server.address, "--path", "/", "--allow", hub.address, "--max-rate", "2000"],
            *["--rate", "600", "--duration", "2", "--json", "--out", str(tmp_path / "one")],
            host=hub,
        )
        code, out = alone.end()
        assert code == 0, alone.said
        by_one = json.loads(out)
    assert result["totals"]["requests"] == 1200 == result["locust"]["requests"] == counted["requests"]
    assert [worker["requests"] for worker in result["workers"]] == [600, 600]
    assert result["totals"] == {**by_one["totals"], "connects": result["totals"]["connects"]}
    assert result["probes"][0]["requests"] == by_one["probes"][0]["requests"]
    assert validate(result) == "blast"


@pytest.mark.parametrize("sent", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_a_worker_that_is_heard_no_more_voids_the_run_and_is_named(
    stack: Stack, start: Callable[..., Process], tmp_path: Path, sent: signal.Signals
) -> None:
    with network(3) as (hub, one, two):
        server = Away(stack, hub, "null")
        head = start(*master(server, "--json", "--out", str(tmp_path), rate=200, duration=20), host=hub)
        hands = [
            start(hub.address, "5557", "--speak", host=host, module="darktime.blast.worker") for host in (one, two)
        ]
        hands[0].awaits("hold: 200/s")
        wait_until(lambda: server.counters()["requests"] > 50, timeout_s=15, what="two at work")
        os.kill(hands[0].process.pid, sent)
        code, out = head.end()
        result = json.loads(out)
        assert hands[1].end()[0] == 0, hands[1].said
    assert code == 4 == result["exit_code"]
    assert f"process {hands[0].process.pid} on" in result["sentence"]
    assert "was lost" in result["sentence"]
    assert result["capacity"] == {"highest_pass_per_s": None, "lowest_fail_per_s": None}
    assert [worker["state"] for worker in result["workers"]].count("lost") == 1


def joined_at(head: Process) -> str:
    """The port that a master on this machine has printed."""
    head.awaits("waiting for")
    found = re.search(r"127\.0\.0\.1:(\d+)", head.said)
    assert found is not None
    return found[1]


def here(instance: Instance, *words: str) -> list[str]:
    listens = ["--master", "--master-bind-port", "0", "--path", "/"]
    return ["--instance", instance.address, *listens, "--rate", "100", "--duration", "2", *words]


def test_a_worker_whose_master_is_not_there_says_so_within_its_limit(start: Callable[..., Process]) -> None:
    port = free_port()
    began = time.monotonic()
    hand = start("--worker", "--master-port", str(port), "--expect-workers-max-wait", "1")
    code, _ = hand.end()
    assert code == 2
    assert time.monotonic() - began < 10
    assert f"no master at 127.0.0.1:{port} within 1 s" in hand.said
    assert "Traceback" not in hand.said


def test_a_worker_that_finds_something_else_there_says_so_within_its_limit(
    instance: Callable[..., Instance], start: Callable[..., Process]
) -> None:
    web = instance("null")
    hand = start("--worker", "--master-port", str(web.port), "--expect-workers-max-wait", "2")
    code, _ = hand.end()
    assert code == 2
    assert "did not answer as a darkesttime master" in hand.said
    assert "Traceback" not in hand.said


def test_a_worker_of_another_version_is_turned_away_and_the_run_goes_on_with_who_fits(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    null = instance("null")
    head = start(*here(null, "--json", "--out", str(tmp_path)))
    port = joined_at(head)
    code = (
        "import sys, darktime; darktime.__version__ = '0.0.9'; from darktime.blast import worker; "
        f"sys.exit(worker.main(['127.0.0.1', '{port}', '--speak']))"
    )
    old = start("-c", code, module="-")
    assert old.end()[0] == 2
    assert "turned this worker away: it is darktime 0.0.9" in old.said
    assert "was turned away: it is darktime 0.0.9" in head.said
    hand = start("--worker", "--master-port", port)
    assert head.end()[0] == 0, head.said
    assert hand.end()[0] == 0
    assert null.counters()["requests"] == 200


def test_a_worker_more_than_expected_is_turned_away_and_sends_nothing(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    null = instance("null")
    head = start(*here(null, "--expect-workers", "2", "--json", "--out", str(tmp_path)))
    port = joined_at(head)
    hands = start("--worker", "--master-port", port, "--processes", "3")
    code, out = head.end()
    assert code == 0, head.said
    assert hands.end()[0] == 2
    assert "the run has its 2 workers" in hands.said
    assert [worker["requests"] for worker in json.loads(out)["workers"]] == [100, 100]
    assert null.counters()["requests"] == 200


def test_a_worker_ends_soon_after_its_master_has_vanished(
    instance: Callable[..., Instance], start: Callable[..., Process]
) -> None:
    null = instance("null")
    head = start(
        *["--instance", null.address, "--path", "/", "--rate", "50", "--duration", "4"],
        *["--master", "--master-bind-port", "0", "--json", "/dev/null"],
        module="darktime.blast",
    )
    hand = start("--worker", "--master-port", joined_at(head))
    hand.awaits("hold: 50/s")
    head.process.kill()
    code, _ = hand.end(20)
    assert code == 4
    assert "is gone: nothing was heard for 10 s" in hand.said


def test_the_clock_of_another_machine_is_measured_and_times_are_corrected_by_it(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    """One of the two has a monotonic clock that is 1,000 s ahead, as another machine's may be."""
    require_time_namespaces()
    push = instance("sse")
    head = start(
        *[
            "--instance",
            push.address,
            "--channel",
            "blast.shared",
            "--streams",
            "20",
            "--rate",
            "100",
            "--duration",
            "2",
        ],
        *["--master", "--master-bind-port", "0", "--expect-workers", "2", "--json", "--out", str(tmp_path)],
    )
    words = ["127.0.0.1", joined_at(head), "--speak"]
    start(*words, module="darktime.blast.worker")
    ahead = ("unshare", "--time", "--monotonic", "1000", "--fork", "--kill-child")
    start(*words, module="darktime.blast.worker", before=ahead)
    code, out = head.end()
    result = json.loads(out)
    assert code == 0, result["sentence"]
    assert result["totals"]["deliveries"] == 200 * 20, "each hears what both have said"
    assert result["totals"]["lost"] == 0
    assert result["latency"]["max_ms"] < 1000
    clocks = sorted((worker["clock_offset_ms"], worker["clock_error_ms"]) for worker in result["workers"])
    assert clocks[1] == (0, 0)
    offset_ms, error_ms = clocks[0]
    assert 0 < error_ms < 100
    assert abs(offset_ms + 1_000_000) <= error_ms
    assert "clocks agree to" in "\n".join(text_summary(result))


@pytest.mark.long
def test_a_search_over_joined_workers_rests_on_what_they_measured_of_themselves(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    bucket = instance("token-bucket", rate=300, burst=30)
    head = start(
        *["--instance", bucket.address, "--path", "/", "--duration", "8", "--json", "--out", str(tmp_path)],
        *["--master", "--master-bind-port", "0", "--expect-workers", "2"],
    )
    hands = start("--worker", "--master-port", joined_at(head), "--processes", "2")
    code, out = head.end(28)
    result = json.loads(out)
    assert code == 0, result["sentence"]
    assert hands.end()[0] == 0
    assert result["limit"] == "instance"
    # A short search: how exact one is, other tests hold.
    assert 200 < result["capacity"]["highest_pass_per_s"] < result["capacity"]["lowest_fail_per_s"] < 500
    assert result["calibration"]["ceiling_per_s"] > 5000, "of both together"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--worker", "--instance", "127.0.0.1:1"], "--instance comes from the master"),
        (["--worker", "--master", "--instance", "127.0.0.1:1"], "--master and --worker are two commands"),
        (["--worker", "--processes", "0"], "--processes 0: 1 to 64"),
        (["--master"], "--instance HOST:PORT is missing"),
        (["--worker", "--master-host", "nosuch.invalid"], "--master-host 'nosuch.invalid' is not found"),
    ],
)
def test_a_part_that_cannot_be_played_is_named_with_the_remedy(
    start: Callable[..., Process], words: list[str], named: str
) -> None:
    process = start(*words)
    assert process.end()[0] == 2
    assert named in process.said
    assert "Traceback" not in process.said


@pytest.mark.parametrize(
    ("host", "named"), [("127.0.0.1", "--master-bind-port {port}"), ("192.0.2.1", "--master-bind-host '192.0.2.1'")]
)
def test_a_master_that_cannot_listen_says_why(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path, host: str, named: str
) -> None:
    null = instance("null")
    listens = ["--master", "--master-bind-host", host, "--master-bind-port", str(null.port)]
    head = start("--instance", null.address, "--path", "/", "--rate", "1", "--out", str(tmp_path), *listens)
    assert head.end()[0] == 2
    assert named.format(port=null.port) in head.said
    assert "Traceback" not in head.said


def test_a_master_whose_workers_do_not_come_says_how_many_did_and_gives_no_capacity(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    head = start(*here(instance("null"), "--expect-workers-max-wait", "1", "--json", "--out", str(tmp_path)))
    code, out = head.end()
    assert code == 4
    assert "0 of 1 workers joined within 1 s" in json.loads(out)["sentence"]


def test_a_scenario_whose_files_differ_on_a_worker_is_refused(
    instance: Callable[..., Instance], start: Callable[..., Process], tmp_path: Path
) -> None:
    """Here they differ since they are changed after the master has read them."""
    mine = tmp_path / "mine.py"
    mine.write_text((ROOT / "scenarios" / "steady.py").read_text())
    numbers = mine.with_suffix(".toml")
    numbers.write_text((ROOT / "scenarios" / "steady.toml").read_text())
    null = instance("null")
    head = start(
        *[
            "--instance",
            null.address,
            "--scenario",
            str(mine),
            "--number",
            "duration=1",
            "--out",
            str(tmp_path / "run"),
        ],
        *["--master", "--master-bind-port", "0"],
    )
    port = joined_at(head)
    numbers.write_text(numbers.read_text() + "# changed\n")
    hand = start("--worker", "--master-port", port)
    assert head.end()[0] == 2
    assert hand.end()[0] == 2
    for said in (head.said, hand.said):
        assert "are not those of the master" in said
    assert null.counters()["requests"] == 0


def test_a_worker_refuses_a_loopback_that_is_not_its_masters(
    stack: Stack, start: Callable[..., Process], tmp_path: Path
) -> None:
    with network(2) as (hub, one):
        server = Away(stack, hub, "null", "--host", "127.0.0.1")
        head = start(
            *["--instance", server.address, "--path", "/", "--rate", "100", "--duration", "2", "--out", str(tmp_path)],
            *["--master", "--master-bind-host", hub.address],
            host=hub,
        )
        head.awaits("waiting for")
        hand = start("--worker", "--master-host", hub.address, host=one)
        assert head.end()[0] == 2
        assert hand.end()[0] == 2
        assert server.counters()["requests"] == 0
    for said in (head.said, hand.said):
        assert "is loopback, which is another machine" in said
