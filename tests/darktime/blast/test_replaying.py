"""Replays over TLS, as they are run, against servers that count for themselves; and at those who should not get any."""

import json

import pytest

from darktime.console.main import DARKTIME, run
from darktime.split.record.lines import Answer, Header, Recorded, header_line, request_line


@pytest.fixture
def recording(tmp_path):
    lines = [header_line(Header(experiment="e", key="ip", began=0.0))]
    for number in range(90):
        one = Recorded(at=number / 100, id=f"{number:032x}", user=f"{number % 6:016x}", method="GET", target="/")
        lines.append(request_line(one, Answer(status=200)))
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def replay(recording, capsys, *words):
    code = run(DARKTIME, ["replay", str(recording), "--json", "--out", str(recording.parent / "out"), *words])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else {}, said.err


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_requests_are_the_servers_own_count_also_with_long_answers(instance, recording, capsys, tls):
    server = instance("null", body_bytes=200_000, **({"tls": True} if tls else {}))
    trust = ("--cacert", str(server.certificate)) if tls else ()
    code, results, said = replay(recording, capsys, "--instance", server.url, "--speed", "2", *trust)
    assert code in {0, 4}, said  # 4: this machine had no time for it, and every request was sent all the same
    counted = server.counters()
    assert results["answered"] == results["sent"] == counted["requests"] == 90
    assert counted.get("handshakes_failed", 0) == 0
    assert counted["connections"] == 6 + 1, "one a user, and one that looked who is there"


def test_who_cannot_be_trusted_and_who_speaks_otherwise_get_nothing(instance, recording, capsys):
    server = instance("null", tls=True)
    code, _, said = replay(recording, capsys, "--instance", server.url)
    assert code == 2
    assert "does not verify" in said
    code, results, _ = replay(recording, capsys, "--instance", server.address, "--limit", "5", "--timeout", "1")
    assert code == 3
    assert results["unanswered"].keys() <= {"speaks_tls", "closed", "reset"}
    assert server.counters().get("requests", 0) == 0
    other = instance("null")
    code, _, said = replay(recording, capsys, "--instance", f"https://{other.address}")
    assert code == 2
    assert "speaks no TLS" in said
    assert not (recording.parent / "out" / "results.json").exists() or "answered" in results
