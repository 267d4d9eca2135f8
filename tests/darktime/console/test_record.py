"""``darktime record`` and ``darktime split --record``, as people run them; what was recorded is replayed."""

import http.client
import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from darktime.blast import replaying
from darktime.console import record
from darktime.console.asked import choices, lists_of
from darktime.console.main import DARKTIME, run
from darktime.split.record.reader import read
from realtime_core.free_ports import free_port
from tests.darktime.console.noting_server import NotingServer
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

TOML = """\
[split]
production = "http://{production}"
dark = "http://127.0.0.1:9"
dark_state = "isolated"
listen = "127.0.0.1:{port}"
key = "cookie:uid"
allow_query = ["id"]
"""


@contextmanager
def running(tmp_path, production, *words):
    """The command while it runs: its process, and the port it takes production's requests on."""
    port = free_port()
    (tmp_path / "darktime.toml").write_text(TOML.format(production=production, port=port))
    command = [Path(sys.executable).parent / "darktime", *words, "--percent", "100", "--out", "run", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until((tmp_path / "run" / "split.json").exists, timeout_s=20)
            yield process, port
        finally:
            process.terminate()
            process.wait(20)


def ask(port, count, first=0):
    """So many requests of four users; all are answered."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for number in range(first, first + count):
        link.request("GET", f"/page?id={number}&token=geheim", headers={"Cookie": f"uid=user-{number % 4}"})
        reply = link.getresponse()
        assert (reply.status, reply.read()) == (200, b"hello")
    link.close()


def state(tmp_path):
    """The relay's."""
    return json.loads((tmp_path / "run" / "relay.json").read_text())


def ended(process):
    """End it as a terminal does; its results, which have the committed shape, and what it said."""
    process.terminate()
    out, err = process.communicate(timeout=20)
    results = json.loads(out)
    require_schema(results)
    assert process.returncode == results["exit_code"]
    return results, err


def test_what_was_recorded_without_a_dark_instance_is_replayed_with_its_ids_and_users(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(replaying, "lateness", lambda *_, **__: None)  # this machine's load is not what it is about
    with NotingServer() as production, running(tmp_path, production.address, "record") as (process, port):
        ask(port, 20)
        wait_until(lambda: state(tmp_path)["recorded"] == 20)
        results, _ = ended(process)
    assert (results["outcome"], results["exit_code"]) == ("whole", 0)
    none = {"open": 0, "reasons": {}, "never_came": {}, "streams": 0, "duplicates": 0}
    assert results["copies"] == {"offered": 20, "received": 20, "recorded": 20, **none}
    assert {hop["hop"]: (hop["balanced"], hop["received"]) for hop in results["ledger"]} == {
        "mirror>relay": (True, 20),
        "relay>recorded": (True, 20),
    }
    file = Path(results["recording"]["file"])
    assert file == tmp_path / "run" / "recording.jsonl"
    assert results["recording"]["answers"] == 20
    assert "geheim" not in file.read_text() + json.dumps(results)
    recorded = read([file.read_bytes()]).requests
    assert len({one.user for one in recorded}) == 4
    with NotingServer() as instance:
        words = ["replay", str(file), "--instance", instance.address, "--speed", "10", "--out", str(tmp_path / "again")]
        assert run(DARKTIME, words) == 0
    assert "SAME" in capsys.readouterr().out
    for folder, first in (("run", "RECORDED"), ("again", "REPLAY")):
        assert run(DARKTIME, ["report", str(tmp_path / folder)]) == 0
        assert capsys.readouterr().out.startswith(first)
        assert (tmp_path / folder / "report.html").exists()
    assert Counter((one.id, one.target) for one in instance.noted) == Counter((one.id, one.target) for one in recorded)


def test_that_uploads_are_not_recorded_is_said_before_anything_is(tmp_path):
    words = ("record", "--methods", "GET,POST")
    with NotingServer() as production, running(tmp_path, production.address, *words) as (process, port):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for method, body in (("POST", b"card=4111"), ("GET", None)):
            link.request(method, "/page", body, {"Cookie": "uid=user-1"})
            assert link.getresponse().read() == b"hello"
        link.close()
        wait_until(lambda: state(tmp_path)["recorded"] == 1)
        results, said = ended(process)
    first, second, *_ = said.splitlines()
    assert first.startswith("no requests of POST are recorded: a recording of its own keeps no bodies")
    assert "darktime split --record FILE --methods GET,POST" in first
    assert second.startswith("mirroring 100 % of users into ")
    recorded = read([Path(results["recording"]["file"]).read_bytes()]).requests
    assert [one.method for one in recorded] == ["GET"]
    assert {one.method for one in production.noted} == {"GET", "POST"}


def test_a_recording_of_uploads_alone_is_refused_since_nothing_would_be_in_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["record", "--percent", "5", "--production", "http://127.0.0.1:9", "--key", "ip", "--methods", "POST, put"]
    assert run(DARKTIME, words) == 2
    assert "--methods POST, put: a recording of its own keeps no bodies" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_recording_that_has_its_bytes_is_said_and_production_goes_on(tmp_path):
    words = ("record", "--max-bytes", "3000", "--file", "kept/r.jsonl")
    with NotingServer() as production, running(tmp_path, production.address, *words) as (process, port):
        ask(port, 20)
        wait_until(lambda: state(tmp_path)["recording"]["stopped"])
        ask(port, 5, 20)
        wait_until(lambda: state(tmp_path)["received"] == 25)
        results, said = ended(process)
    assert "nothing more is recorded: it has its 3,000 bytes; mirroring goes on" in said
    assert (results["outcome"], results["exit_code"]) == ("whole", 0), "it was asked for"
    copies, kept = results["copies"], results["recording"]["requests"]
    assert 0 < kept == copies["recorded"] < 20
    assert copies["reasons"] == {"relay_full": 25 - kept}
    assert len(read([(tmp_path / "kept" / "r.jsonl").read_bytes()]).requests) == kept
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


def test_a_split_records_beside_its_dark_instance_and_its_results_say_so(tmp_path):
    with NotingServer() as production, NotingServer() as dark:
        words = ("split", "--dark", f"http://{dark.address}", "--record", "r.jsonl.gz")
        with running(tmp_path, production.address, *words) as (process, port):
            ask(port, 20)
            wait_until(lambda: state(tmp_path)["compared"] == 20)
            wait_until(lambda: state(tmp_path)["recording"]["answers"] == 20)
            results, _ = ended(process)
    assert results["copies"]["compared"] == 20
    assert results["recording"]["requests"] == 20
    found = read([(tmp_path / "r.jsonl.gz").read_bytes()])
    got = [one.target for one in dark.noted if one.target.startswith("/page")]
    assert Counter(one.target for one in found.requests) == Counter(got)


def test_without_production_or_key_or_over_a_file_that_is_there_it_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["record", "--percent", "5"]
    assert run(DARKTIME, given) == 2
    assert "production is not set" in capsys.readouterr().err
    with NotingServer() as production:
        given += ["--production", f"http://{production.address}", "--listen", f"127.0.0.1:{free_port()}"]
        assert run(DARKTIME, given) == 2
        assert "say --key" in capsys.readouterr().err
        (tmp_path / "r.jsonl").write_text("mine")
        assert run(DARKTIME, [*given, "--key", "cookie:uid", "--file", "r.jsonl"]) == 2
        assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "r.jsonl").read_text() == "mine"


def test_who_must_never_be_in_is_not_recorded_and_bodies_are_not_either(tmp_path, monkeypatch):
    """Also where it stands in the settings of the split."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "never.txt").write_text("ann\n")
    (tmp_path / "darktime.toml").write_text(
        "[split]\nnever = 'never.txt'\nonly = ['header:Host=a']\nkey = 'cookie:uid'\n"
    )
    told = {}
    monkeypatch.setattr(record, "perform", lambda folder, finish, **asked: told.update(asked) or sys.exit(0))
    with pytest.raises(SystemExit):
        run(DARKTIME, ["record", "--percent", "5", "--production", "http://127.0.0.1:9", "--methods", "GET,POST"])
    found = choices(told)
    assert lists_of(told) == {"never": ("ann",)}
    assert found["only"] == ("header:Host=a",)
    assert found["never_listed"]
    assert not found["copy_bodies"]
