"""``darktime relay`` as people run it, behind an nginx that mirrors everything: lists, conditions, ramps, several hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from darktime.console.main import DARKTIME as GROUP
from darktime.console.main import run
from darktime.split import levels
from darktime.split.experiment import Experiment, client_of
from realtime_core.free_ports import free_port
from tests.darktime.split.conftest import folder, make_split  # noqa: F401 - fixtures
from tests.darktime.split.servers import Client
from tests.darktime.split.takers import Taker
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DARKTIME = Path(sys.executable).parent / "darktime"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture
def darktime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Another command, while that one runs; what it says."""
    monkeypatch.chdir(tmp_path)

    def do(*words: str) -> str:
        assert run(GROUP, list(words)) == 0
        return capsys.readouterr().out

    return do


class Relay:
    """The command while it runs. ``results`` once it was ended."""

    def __init__(self, results: Path, process: subprocess.Popen[str], port: int) -> None:
        self.folder = results
        self.process = process
        self.address = f"127.0.0.1:{port}"
        self.said = ""

    @property
    def state(self) -> dict[str, Any]:
        path = self.folder / "relay.json"
        return json.loads(path.read_text()) if path.exists() else {"open": False}

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        out, self.said = self.process.communicate(timeout=15)
        assert self.process.returncode == 0, self.said
        results: dict[str, Any] = json.loads(out)
        require_schema(results)
        return results


@contextmanager
def relaying(tmp_path: Path, dark: str, *words: str, name: str = "run", percent: str = "100") -> Iterator[Relay]:
    port = free_port()
    command = [
        str(DARKTIME), "relay", "--listen", f"127.0.0.1:{port}", "--dark", f"http://{dark}", "--key", "cookie:uid",
        "--dark-state", "isolated", "--percent", percent, "--max-percent", "100", "--allow-header", "X-Who", "--out", name,
        "--json", *words,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        relay = Relay(tmp_path / name, process, port)
        try:
            wait_until(lambda: relay.state["open"] or process.poll() is not None, timeout_s=20, what="the relay")
            yield relay
        finally:
            process.terminate()
            process.wait(15)


def test_behind_a_mirror_of_everything_the_listed_users_of_one_site_alone_are_copied_and_every_percentage_is_kept(
    tmp_path: Path,
    darktime: Callable[..., str],
    make_split: Callable[..., Any],  # noqa: F811
) -> None:
    (tmp_path / "staff.txt").write_text("ann\nbob\neve\n")
    (tmp_path / "never.txt").write_text("eve\n")
    words = ("--only", "header:X-Site=www.example.org", "--only-users", "staff.txt", "--never", "never.txt")
    asked = [(user, site) for site in ("www.example.org", "other.example.org") for user in ("ann", "bob", "eve", "zoe")]
    with Taker() as production, Taker() as dark, relaying(tmp_path, dark.address, *words, percent="50") as relay:
        front = make_split(production.address)
        front.start(naive=relay.address)

        def everybody() -> None:
            before = relay.state["requests"]
            with Client(front.address) as client:
                for user, site in asked:
                    client.get("/page", f"Cookie: uid={user}", f"X-Who: {user}", f"X-Site: {site}")
            wait_until(lambda: relay.state["requests"] == before + len(asked), what="all requests")

        began = time.time()
        darktime("ramp", "100", "--run", "run", "--why", "staff only")
        everybody()
        wait_until(lambda: relay.state["answered"] == 2, what="two answers")
        told = [darktime("who", user, "--run", "run") for user in ("eve", "zoe", "ann")]
        darktime("kill", "--run", "run", "--why", "a fire")
        darktime("kill", "--run", "run", "--resume")
        darktime("ramp", "0", "--run", "run")
        everybody()
        results = relay.end()
        assert len(production.taken) == 2 * len(asked)
    assert sorted(one.headers["x-who"] for one in dark.taken if "x-who" in one.headers) == ["ann", "bob"]
    assert "on the list of those who never are" in told[0]
    assert "not on the list of those who alone are" in told[1]
    assert "it is (requests with header:X-Site=www.example.org alone)" in told[2]
    assert [(one["from"], one["to"], one["why"]) for one in results["ramps"]] == [
        (0, 50, "the relay begins"), (50, 100, "staff only"), (100, 0, "a fire"), (0, 100, ""), (100, 0, ""),
    ]  # fmt: skip
    assert began - 60 < results["ramps"][0]["at"] < began < results["ramps"][1]["at"] < results["ramps"][2]["at"]
    assert results["percent"] == 100
    assert results["copies"] == {"received": 2, "answered": 2, "reasons": {}}
    assert results["requests"]["outside"] == 2 * len(asked) - 2
    assert not (relay.folder / "state" / "only").exists(), "no list of users is left"
    assert not (relay.folder / "state" / "never").exists()


def test_an_experiment_in_redis_steers_it_and_it_steers_the_other_hosts(
    tmp_path: Path, darktime: Callable[..., str], valkey: Any
) -> None:
    name, now = tmp_path.name.strip("_"), time.time()
    there = Experiment(client_of(valkey.url), name)
    there.join("other:1", percent=100.0, max_percent=100.0, until=now + 60, who="ann", now=now)
    words = ("--redis", valkey.url, "--experiment", name)
    with Taker() as dark, relaying(tmp_path, dark.address, *words, percent="1") as relay:
        state = relay.folder / "state"

        def stands(percent: float, *, killed: bool = False) -> None:
            wait_until(
                lambda: (levels.percent_of(state), levels.killed(state)) == (percent, killed), what=f"{percent:g} %"
            )
            with Client(relay.address) as client:
                client.get("/page", "Cookie: uid=u1")

        stands(100)  # who comes later takes the percentage that stands
        darktime("ramp", "0", *words, "--why", "from afar")
        stands(0)
        darktime("ramp", "100", "--run", "run")
        standing = there.standing()
        assert standing is not None
        assert (standing.percent, len(standing.hosts)) == (100.0, 2)
        stands(100)
        darktime("kill", *words)
        stands(100, killed=True)
        results = relay.end()
    assert [(ramp["to"], ramp["why"], ramp.get("what")) for ramp in results["ramps"]] == [
        (100, "the experiment begins", None), (0, "from afar", None), (100, "", None), (0, "", "kill"),
    ]  # fmt: skip
    assert results["percent"] == 100
    assert (results["requests"]["seen"], results["copies"]["received"]) == (4, 2)
    assert "runs already, on other:1" in relay.said
    left = there.standing()
    assert left is not None
    assert left.hosts == ("other:1",)
    there.leave("other:1")
    assert not (relay.folder / "redis.url").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "header:Host="), "as in header:Host=www.example.org"), (("--never", "empty.txt"), "names nobody"),
        (("--only-users", "absent.txt"), "does not exist"), (("--redis", "redis://127.0.0.1:1/0"), "redis://127.0.0.1:1"),
    ],
    ids=["only", "never", "only-users", "redis"],
)  # fmt: skip
def test_what_cannot_be_read_or_reached_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("# nobody\n")
    base = [
        "relay",
        "--listen",
        "127.0.0.1:9",
        "--dark",
        "http://127.0.0.1:10",
        "--percent",
        "1",
        "--key",
        "cookie:uid",
    ]
    assert run(GROUP, [*base, "--dark-state", "isolated", "--out", "run", *words]) == 2
    assert told in capsys.readouterr().err


HANGING = """\
import time
from pathlib import Path

def transform(copy):
    Path("hangs").touch()
    time.sleep(10**6)
"""


def left_behind(relay: Relay) -> list[str]:
    """What ``ramp``, ``kill`` and the next relay would take for one that runs."""
    found = [path for path in relay.folder.rglob("*") if path.parent.name == "level" or path.name == "split.json"]
    return [path.name for path in found]


@pytest.mark.parametrize("ends", ["signal", "time"])
def test_a_function_that_never_comes_back_is_left_with_results_that_say_so_and_nothing_behind(
    tmp_path: Path, ends: str
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    ttl = ("--ttl", "3") if ends == "time" else ()
    with Taker() as dark, relaying(tmp_path, dark.address, "--transform", "hanging:transform", *ttl) as relay:
        with Client(relay.address) as client:
            client.send("/page", "Cookie: uid=u1")  # nobody answers: the loop hangs in the function
            wait_until((tmp_path / "hangs").exists, what="the loop to stand still")
            if ends == "signal":
                relay.process.send_signal(signal.SIGTERM)
            out, said = relay.process.communicate(timeout=20)
        assert relay.process.returncode == 1, said
        assert "HUNG" in said
        results = json.loads(out)
        require_schema(results)
        assert results["ended"].startswith("stopped by you" if ends == "signal" else "the time is over")
        assert (results["exit_code"], results["copies"]["reasons"]) == (1, {"in_flight": 1})
        assert json.loads((relay.folder / "results.json").read_text()) == results
        assert left_behind(relay) == []
        assert run(GROUP, ["report", str(relay.folder)]) == 0


def test_a_second_signal_ends_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    with Taker() as dark, relaying(tmp_path, dark.address, "--transform", "hanging:transform") as relay:
        assert left_behind(relay)
        with Client(relay.address) as client:
            client.send("/page", "Cookie: uid=u1")
            wait_until((tmp_path / "hangs").exists, what="the loop to stand still")
            relay.process.send_signal(signal.SIGINT)
            assert any("a second signal" in line for line in relay.process.stderr)  # two at one moment are one
            began = time.monotonic()
            relay.process.send_signal(signal.SIGINT)
            _, said = relay.process.communicate(timeout=20)
            assert time.monotonic() - began < 3
        assert relay.process.returncode == 130, said
        assert left_behind(relay) == []


def test_what_is_missing_is_asked_for_in_its_own_table_and_by_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["relay", "--listen", "127.0.0.1:9", "--dark", "http://127.0.0.1:10", "--percent", "5"]
    for missing, given in (("dark_state", ["--key", "cookie:uid"]), ("key", ["--dark-state", "isolated"])):
        assert run(GROUP, [*words, *given]) == 2
        said = capsys.readouterr().err
        assert f"{missing} in [relay] of darktime.toml" in said
        assert " ip" not in said  # it is refused: the address is the mirror's
