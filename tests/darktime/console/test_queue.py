"""``darktime queue``: what it says of a real queue, what it moves, and how it ends."""

import json

import pytest

from darktime.console.main import DARKTIME, run
from darktime.errors import ExitCode
from realtime_core.hooks.books import HOP_OUT
from realtime_core.ledger import Ledger
from realtime_core.queue import Finish, Job, Queue, Stall
from tests.support.schemas import require_schema


@pytest.fixture
def queue(redis_client, redis_name):
    return Queue(redis_client, redis_name)


@pytest.fixture
def ask(valkey, queue, capsys):
    """Run a command on the queue; its exit code and what it printed."""

    def ask(name, *words):
        code = run(DARKTIME, ["queue", name, "--redis", valkey.url, "--queue", queue.name, *words])
        return code, capsys.readouterr().out

    return ask


@pytest.fixture
def told(ask):
    """As JSON, held to its schema."""

    def told(name, *words, code=ExitCode.OK):
        ended, out = ask(name, *words, "--json")
        assert ended == code
        found = json.loads(out)
        require_schema(found)
        return found

    return told


def test_counts_and_audit_of_a_queue_in_order(queue, ask, told):
    queue.put([Job(id="a", body=b"x", key="k"), Job(id="b", body=b"y")])
    queue.settle([Finish(claim) for claim in queue.claim("w", 1)])
    counts = told("counts")["counts"]
    assert (counts["available"], counts["finished_total"], counts["keys_in_turn"]) == (1, 1, 0)
    assert told("audit")["audit"]["clean"]
    code, out = ask("audit")
    assert (code, out) == (ExitCode.OK, "clean: put 2 = held 1 + finished 1 + retracted 0\n")
    assert "available" in ask("counts")[1]


def test_an_audit_that_is_not_clean_names_the_ids_and_ends_with_3(queue, redis_client, ask, told):
    queue.put([Job(id=f"j{n}", body=b"x", key=f"k{n}") for n in range(30)])
    redis_client.hdel(queue._keys["jobs"], "j7")
    redis_client.delete(queue._keys["turns"])
    found = told("audit", code=ExitCode.FAILED)["audit"]
    assert (found["phantom"], len(found["stuck"]), found["balanced"]) == (["j7"], 30, True)
    code, out = ask("audit")
    assert code == ExitCode.FAILED
    assert out.startswith("NOT CLEAN: put 30 = held 30")
    assert "phantom (states without a job): j7" in out
    assert "and 10 more" in out
    assert not told("audit", "--limit", "5", code=ExitCode.FAILED)["audit"]["complete"]


def test_an_audit_with_a_ledger_names_puts_that_are_gone_and_ends_with_3(queue, redis_client, valkey, ask, told):
    ledger = Ledger(redis_client, queue.name, "producer")
    queue.put([Job(id="here", body=b"x"), Job(id="gone", body=b"x")])
    ledger.sent(HOP_OUT, ["here", "gone"], 1_700_000_000.0)
    ledger.name(["here", "gone"])
    ledger.close()
    named = ("--ledger-name", queue.name)
    assert told("audit", *named)["lost_puts"] == {"ids": [], "unnamed": 0, "open_producers": []}
    queue.retract(["gone"])
    assert told("audit", *named, code=ExitCode.FAILED)["lost_puts"]["ids"] == ["gone"]
    code, out = ask("audit", *named, "--ledger", valkey.url)
    assert code == ExitCode.FAILED
    assert out.endswith("acknowledged puts that are gone: 1\nlost or retracted: gone\n")
    assert ask("audit", "--ledger", valkey.url)[0] == ExitCode.USAGE
    assert "lost_puts" not in told("audit")


def test_peek_shows_what_comes_next_and_changes_nothing(queue, ask, told):
    queue.put([Job(id="a", body=b"12345"), Job(id="b", body=b"", key="k"), Job(id="c", body=b"", key="k")])
    queue.put([Job(id="d", body=b"", key="l", delay_s=60)])
    jobs = told("peek")["jobs"]
    assert [(job["id"], job["key"], job["state"]) for job in jobs] == [
        ("a", None, "available"),
        ("b", "k", "available"),
        ("c", "k", "available"),
    ]
    assert jobs[0]["body_bytes"] == 5
    (claim,) = queue.claim("w:1", 1)
    (held,) = [job for job in told("peek")["jobs"] if job["state"] == "held"] or [None]
    assert claim.key == "k"
    assert held["id"] == "c"
    (claimed,) = told("peek", "--state", "claimed")["jobs"]
    assert (claimed["id"], claimed["key"], claimed["worker"], claimed["attempts"]) == ("b", "k", "w:1", 1)
    assert claimed["until"] == pytest.approx(claim.lease_until, abs=1)
    (delayed,) = told("peek", "--state", "delayed")["jobs"]
    assert (delayed["id"], delayed["key"]) == ("d", "l")
    assert "key l" in ask("peek", "--state", "delayed")[1]
    assert len(told("peek", "--limit", "1")["jobs"]) == 1


def test_a_reason_that_came_from_outside_cannot_command_the_terminal(queue, ask, told):
    queue.put([Job(id="a", body=b"")])
    queue.settle([Stall(claim, "bad \x1b[31m\nfield") for claim in queue.claim("w", 1)])
    _, out = ask("stalled")
    assert "bad \\x1b[31m\\nfield" in out
    assert "\x1b" not in out
    assert told("stalled")["stalled"][0]["reason"] == "bad \x1b[31m\nfield"


def test_stalled_jobs_are_retried_by_id_or_all_and_what_is_not_there_ends_with_3(queue, ask, told):
    queue.put([Job(id=id_, body=b"") for id_ in "abc"])
    queue.settle([Stall(claim, "x") for claim in queue.claim("w", 3)])
    assert told("retry", "a", "nosuch", code=ExitCode.FAILED) | {"queue": ""} == {
        "kind": "queue",
        "schema_version": 1,
        "queue": "",
        "command": "retry",
        "retried": ["a"],
        "not_there": ["nosuch"],
    }
    assert sorted(told("retry", "--all")["retried"]) == ["b", "c"]
    assert ask("retry")[0] == ExitCode.USAGE
    assert ask("retry", "a", "--all")[0] == ExitCode.USAGE
    assert told("retract", "a", "b")["retracted"] == ["a", "b"]
    assert ask("retract", "a") == (ExitCode.FAILED, "retracted 0\nnot there: a\n")


def test_drain_waits_for_the_workers_and_leaves_what_is_stalled(queue, ask, told):
    queue.put([Job(id="a", body=b""), Job(id="b", body=b"")])
    claims = queue.claim("w", 2)
    assert told("drain", "--timeout", "0.1", code=ExitCode.FAILED)["left"] == 2
    queue.settle([Finish(claims[0]), Stall(claims[1], "x")])
    assert ask("drain") == (ExitCode.OK, "nothing left to do, 1 stalled\n")


def test_a_server_that_does_not_answer_is_2_and_its_password_is_not_shown(capsys):
    words = ["queue", "counts", "--redis", "redis://me:secret@127.0.0.1:1/0", "--queue", "q"]
    assert run(DARKTIME, words) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "***@127.0.0.1:1" in said
    assert "secret" not in said
    assert run(DARKTIME, ["queue", "counts", "--redis", "nonsense", "--queue", "q"]) == ExitCode.USAGE
    assert run(DARKTIME, ["queue", "counts", "--redis", "redis://127.0.0.1:1", "--queue", "a b"]) == ExitCode.USAGE


def test_the_settings_file_says_which_queue(queue, valkey, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_text(f'[queue]\nredis = "{valkey.url}"\nqueue = "{queue.name}"\n')
    assert run(DARKTIME, ["queue", "counts"]) == ExitCode.OK
    assert "put_total" in capsys.readouterr().out
