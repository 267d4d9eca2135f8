"""``darktime replay``: what was recorded arrives once, in order, at speed, at the instance that was named and nowhere else."""

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import h11
import pytest

from darktime.blast import replaying
from darktime.blast.health import Health
from darktime.blast.replaying import lateness
from darktime.console.main import DARKTIME, run
from darktime.console.replay import _outcome
from darktime.report.summaries import replay as summary
from darktime.split.record.lines import Answer, Header, Recorded, header_line, request_line
from tests.darktime.blast.test_engine import server
from tests.darktime.console.noting_server import NotingServer
from tests.darktime.split.servers import Origin
from tests.support.schemas import require_schema
from tests.support.waiting import wait_until

SECRET = "geheim7"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Whether this machine has the time for it is not what these tests are about, but for two."""
    monkeypatch.setattr(replaying, "lateness", lambda *_, **__: None)


def asked(number, at, user, target="/page", method="GET", **more):
    return Recorded(
        at=at,
        id=f"{number:032x}",
        user=f"{user:016x}",
        method=method,
        target=target,
        headers=(("Host", "site.example"), ("X-Who", str(user))),
        **more,
    )


def write(path, requests, answers=None):
    """A recording of those; every answer is a 200 of plain text unless it is named."""
    lines = [header_line(Header(experiment="e", key="cookie:uid", began=1_764_000_000.0))]
    for one in requests:
        status = (answers or {}).get(one.id, 200)
        answer = Answer(status=status, content_type="text/plain", length=5, seconds=0.001) if status else None
        lines.append(request_line(one, answer))
    raw = b"".join(lines)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def replay(file, instance, *words, capsys, code=0):
    """Run it; its results, which have the committed shape."""
    given = ["replay", str(file), "--instance", instance, "--json", "--out", str(file.parent / "out"), *words]
    ended = run(DARKTIME, given)
    said = capsys.readouterr()
    assert ended == code, said.err + said.out
    results = json.loads(said.out)
    require_schema(results)
    assert results["exit_code"] == code
    assert json.loads((file.parent / "out" / "results.json").read_text()) == results
    lines = summary.tell(results)
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 96
    return results


def refused(file, instance, *words, capsys):
    """Run what is to be refused; what it says."""
    assert run(DARKTIME, ["replay", str(file), "--instance", instance, "--out", str(file.parent / "out"), *words]) == 2
    return capsys.readouterr().err


def test_ids_and_order_of_each_user_are_those_recorded_and_the_spacing_is_a_tenth(tmp_path, capsys):
    """Two seconds of five users, and another who asks once in the middle."""
    requests = [asked(number, number * 0.02, number % 5) for number in range(100)]
    requests.append(asked(100, 1.0, 9))
    file = write(tmp_path / "r.jsonl.gz", requests)
    with NotingServer() as instance:
        results = replay(file, instance.address, "--speed", "10", capsys=capsys)
    noted = instance.noted
    assert Counter(one.id for one in noted) == Counter(one.id for one in requests), "each exactly once"
    assert len(noted) == results["sent"] == results["answered"] == 101
    links, ids = defaultdict(set), defaultdict(list)
    for one in noted:
        links[one.user].add(one.link)
        ids[one.user].append(int(one.id, 16))
    assert all(order == sorted(order) for order in ids.values())
    assert all(len(of_user) == 1 for of_user in links.values()), "one connection a user"
    assert len(set.union(*links.values())) == 6
    span = noted[-1].at - noted[0].at
    assert 0.9 < span / (1.98 / 10) < 2
    assert results["spacing"]["planned_s"] == 0.198
    offsets = sorted((int(one.id, 16), one.at - noted[0].at) for one in noted)[:100]
    early = [at - number * 0.002 for number, at in offsets]
    assert min(early) > -0.3 * span, "none is sent before its time"
    assert (results["outcome"], results["compared"], results["differing"]) == ("same", 101, 0)
    assert results["statuses"] == {"recorded": {"2xx": 101}, "replayed": {"2xx": 101}}
    assert results["latency"]["recorded"]["p50_ms"] == pytest.approx(1)
    rows = results["timeline"]["rows"]
    assert sum(row["due"] for row in rows) == sum(row["sent"] for row in rows) == 101
    assert {row["recorded_p50_ms"] for row in rows} <= {1.0, None}
    assert dict(results["spectrum"]["recorded"])[50] == pytest.approx(1)


def test_every_request_is_marked_has_a_trace_of_its_own_and_the_recorded_host(tmp_path, capsys):
    requests = [asked(1, 0, 1), asked(2, 0, 2, method="HEAD")]
    with NotingServer() as instance:
        replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys)
    for one in instance.noted:
        assert one.headers["x-darktime"] == "1"
        assert one.headers["host"] == "site.example"
        assert len(one.headers["traceparent"]) == 55
    assert len({one.headers["traceparent"] for one in instance.noted}) == 2
    assert {one.method for one in instance.noted} == {"GET", "HEAD"}


def test_a_users_next_request_waits_for_the_answer_and_others_do_not(tmp_path, capsys):
    requests = [asked(number, number * 0.001, number % 4) for number in range(16)]
    requests.append(asked(16, 0.3, 9))  # whose connection would be free meanwhile
    with NotingServer(takes_s=0.05) as instance:
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys)
    assert instance.both_at_once == []
    assert instance.most_at_once == 4
    assert len(instance.noted) == 17
    # The last of a user is planned at once and is the fourth in its row: latency counts from the plan.
    assert results["latency"]["replayed"]["p99_ms"] > 150
    assert results["latency"]["service"]["p50_ms"] < 150
    assert results["spacing"]["waited"] == 12


def test_with_fewer_connections_than_users_each_request_arrives_once_and_in_order(tmp_path, capsys):
    requests = [asked(number, number * 0.004, number % 30) for number in range(120)]
    with NotingServer(takes_s=0.002) as instance:
        replay(write(tmp_path / "r.jsonl", requests), instance.address, "--connections", "3", capsys=capsys)
    assert len({one.link for one in instance.noted}) == 3
    assert Counter(one.id for one in instance.noted) == Counter(one.id for one in requests)
    assert instance.both_at_once == []
    last = {}
    for one in instance.noted:
        assert int(one.id, 16) > last.get(one.user, -1)
        last[one.user] = int(one.id, 16)


def test_another_status_is_a_difference_with_examples_and_the_end_is_3(tmp_path, capsys):
    requests = [asked(number, number * 0.001, number, f"/user/{number}?t={SECRET}") for number in range(40)]
    requests[7] = asked(7, 0.007, 7, "/gone")
    requests[8] = asked(8, 0.008, 8, "/never-answered-before")
    file = write(tmp_path / "r.jsonl", requests, {requests[8].id: None})
    with NotingServer(statuses={f"/user/5?t={SECRET}": 500, "/gone": 404, "/never-answered-before": 404}) as instance:
        results = replay(file, instance.address, capsys=capsys, code=3)
    assert (results["outcome"], results["compared"], results["differing"], results["failures"]) == ("differs", 39, 2, 2)
    changes = {one["endpoint"]: one["changes"] for one in results["differences"]}
    change = {"what": "status", "recorded": "200", "times": 1}
    assert changes == {
        "/user/{id}": [{**change, "replayed": "500", "ids": [requests[5].id]}],
        "/gone": [{**change, "replayed": "404", "ids": [requests[7].id]}],
    }
    assert SECRET not in json.dumps(results)
    assert results["reasons"] == ["5 % errors (2 of 40)"]


def test_an_objective_decides_how_many_may_differ_and_how_long_they_may_take(tmp_path, capsys):
    requests = [asked(number, number * 0.001, number, f"/{number % 20}") for number in range(40)]
    file = write(tmp_path / "r.jsonl", requests)
    with NotingServer(statuses={"/7": 404}) as instance:
        results = replay(file, instance.address, "--slo", "errors<10%", capsys=capsys)
        assert [one["text"] for one in results["thresholds"]] == ["errors < 10 %"]
        assert results["differing"] == 2
        results = replay(file, instance.address, "--slo", "p50<1us,errors<10%", capsys=capsys, code=3)
        assert "p50" in results["reasons"][0]
        assert "about streams" in refused(file, instance.address, "--slo", "lost=0", capsys=capsys)


def test_answers_that_never_come_are_counted_by_their_reason_and_too_many_end_it(tmp_path, capsys):
    requests = [asked(number, number * 0.02, number, "/cut") for number in range(100)]
    with NotingServer(statuses={"/cut": 0}) as instance:
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys, code=3)
    assert 10 <= len(instance.noted) == results["sent"] < 100, "an instance that fails is left alone"
    assert results["unanswered"] == {"closed": results["sent"], "not sent": results["unsent"]}
    assert results["reasons"][0].startswith("ended early: 100% errors")


def test_of_an_instance_that_dies_every_request_is_accounted_for(tmp_path, capsys):
    requests = [asked(number, number * 0.005, number % 7) for number in range(300)]
    instance = Origin()

    def kill():
        wait_until(lambda: instance.asked.total() > 40)
        instance.stop()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys, code=3)
    finally:
        killer.join()
        instance.stop()
    assert 30 < results["answered"] <= instance.asked.total() <= results["sent"]
    assert results["answered"] + sum(results["unanswered"].values()) == 300
    assert results["unanswered"].keys() & {"connect_refused", "reset", "closed"}


def test_a_request_that_takes_too_long_is_one_and_what_waits_behind_it_too_long_is_never_sent(tmp_path, capsys):
    requests = [asked(number, number * 0.001, 1) for number in range(3)]
    with NotingServer(takes_s=1.0) as instance:
        words = ("--timeout", "0.3")
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, *words, capsys=capsys, code=3)
        assert results["unanswered"]["timeout"] >= 1
        assert sum(results["unanswered"].values()) == 3
        assert len(instance.noted) == results["sent"] < 3


def test_of_a_stream_the_head_is_the_answer(tmp_path, capsys):
    requests = [asked(1, 0, 1, "/ev/thread"), asked(2, 0.01, 1, "/page")]
    with NotingServer() as instance:
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys)
        assert results["answered"] == 2
        assert results["duration_s"] < 3
    (one,) = results["differences"][0]["changes"]
    assert (one["what"], one["recorded"], one["replayed"]) == ("content_type", "text/plain", "text/event-stream")


def test_only_get_and_head_are_sent_unless_others_are_named_and_then_with_their_bodies(tmp_path, capsys):
    requests = [
        asked(1, 0, 1),
        asked(2, 0, 2, "/post", "POST", body=b"\x00\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
        asked(3, 0, 3, "/account/%4Cogout"),
        asked(4, 0, 4, "/post", "POST"),
    ]
    file = write(tmp_path / "r.jsonl", requests)
    with NotingServer() as instance:
        results = replay(file, instance.address, capsys=capsys)
        assert [one.method for one in instance.noted] == ["GET"]
        assert results["left_out"] == {"method": 2, "unsafe_path": 1}
        results = replay(file, instance.address, "--methods", "post", capsys=capsys)
        assert sorted((one.method, one.body) for one in instance.noted[1:]) == [
            ("POST", b""),
            ("POST", requests[1].body),
        ]
        assert results["left_out"] == {"method": 2}
        results = replay(file, instance.address, "--methods", "GET,POST", "--limit", "2", capsys=capsys)
        assert results["left_out"] == {"unsafe_path": 1, "limit": 1}
        assert "nothing is left to send" in refused(file, instance.address, "--methods", "PUT", capsys=capsys)


def test_only_the_named_paths_are_sent_also_those_whose_words_exclude_them_and_no_excluded_word(tmp_path, capsys):
    targets = ["/page", "/admin/users", "/admin/reset", "/admin/secret/1", "/%61dmin/escaped", "/other?next=/admin/"]
    file = write(
        tmp_path / "r.jsonl", [asked(number, number * 0.01, number, one) for number, one in enumerate(targets)]
    )
    with NotingServer() as instance:
        words = ("--path", "/admin/", "--exclude", "secret")
        results = replay(file, instance.address, *words, capsys=capsys)
        assert sorted(one.target for one in instance.noted) == ["/%61dmin/escaped", "/admin/users"]
        assert results["left_out"] == {"path": 2, "unsafe_path": 2}
        for words, said in (
            (("--path", "/none"), "name more with --methods or --path"),
            (("--path", "/%61dmin/"), "characters that are not taken here"),
            (("--exclude", ""), "an empty word is in every path"),
        ):
            assert said in refused(file, instance.address, *words, capsys=capsys)


def test_connections_come_from_the_sources_in_turn(tmp_path, capsys):
    file = write(tmp_path / "r.jsonl", [asked(number, number * 0.01, number) for number in range(12)])
    with NotingServer() as instance:
        replay(file, instance.address, "--source", "127.0.7.1", "--source", "127.0.7.8/30", capsys=capsys)
        each = Counter(one.source for one in instance.noted)
        assert set(each) == {"127.0.7.1", "127.0.7.9", "127.0.7.10"}
        assert sum(each.values()) == 12
        assert "is reached from another address; name one" in refused(
            file, instance.address, "--source", "192.0.2.7", capsys=capsys
        )


@pytest.mark.parametrize(
    ("instance", "words", "said"),
    [
        ("192.0.2.1:80", (), "at most 10 a second for 10 s at a host that is not named as yours"),
        ("192.0.2.1:80", ("--max-rate", "50"), "not named as yours"),
        ("192.0.2.1:80", ("--allow", "192.0.2.1"), "--max-rate is required"),
        ("192.0.2.1:80", ("--allow", "192.0.2.1", "--max-rate", "19"), "fastest second has 20 requests"),
        ("{here}", ("--max-rate", "19"), "fastest second has 20 requests, and the limit is 19/s: lower --speed"),
        ("{here}", ("--speed", "0"), "--speed 0: a number above 0"),
        ("{here}", ("--speed", "nan"), "--speed nan"),
        ("{here}", ("--methods", "GET /"), "is no method"),
        ("{here}", ("--timeout", "0"), "--timeout 0"),
        ("{here}/path", (), "HOST:PORT"),
        ("127.0.0.1:1", (), "nothing answers at 127.0.0.1:1"),
    ],
    ids=range(11),
)
def test_beyond_its_limits_it_is_refused_before_a_request_is_sent(tmp_path, capsys, instance, words, said):
    file = write(tmp_path / "r.jsonl", [asked(number, number * 0.01, number) for number in range(20)])
    with NotingServer() as here:
        assert said in refused(file, instance.format(here=here.address), *words, capsys=capsys)
        assert here.noted == []
    assert not (tmp_path / "out").exists()


def test_hosts_and_limits_may_stand_in_the_settings_of_blast(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "darktime.toml").write_text("[blast]\nallow = ['192.0.2.1']\nmax_rate = 19.0\nslo = 'p99<1us'\n")
    file = write(tmp_path / "r.jsonl", [asked(number, number * 0.01, number) for number in range(20)])
    assert "the limit is 19/s" in refused(file, "192.0.2.1:80", capsys=capsys)


def test_an_access_log_is_replayed_too_and_says_lines_as_ids(tmp_path, capsys):
    line = '10.0.0.{user} - - [24/Nov/2026:10:00:{at:02} +0000] "GET /page/{at} HTTP/1.1" {status} 5 "-" "Mozilla"\n'
    path = tmp_path / "access.log.gz"
    lines = [line.format(user=at % 2, at=at, status=304 if at == 3 else 200) for at in range(5)]
    path.write_bytes(gzip.compress("".join([*lines, "nothing\n"]).encode()))
    with NotingServer() as instance:
        results = replay(path, instance.address, "--speed", "100", capsys=capsys)
    assert [(int(one.id, 16), one.target) for one in instance.noted] == [(at + 1, f"/page/{at}") for at in range(5)]
    assert {one.headers["host"] for one in instance.noted} == {instance.address}
    assert {one.headers["user-agent"] for one in instance.noted} == {"Mozilla"}
    assert (results["users"], results["compared"], results["differing"]) == (2, 5, 0), "304 and 200 are the same answer"
    assert results["recording"]["format"] == "access log"
    assert results["recording"]["garbage_lines"] == [{"line": 6, "why": "it is no request in any format that is read"}]


HOSTILE = [
    {"target": "http://127.0.0.1:{decoy}/steal"},
    {"target": "//127.0.0.1:{decoy}/well-formed"},
    {"target": "/a\r\nX-Injected: 1\r\n\r\nGET http://127.0.0.1:{decoy}/ HTTP/1.1"},
    {"target": "/nul\x00"},
    {"headers": [["A", "b\r\nHost: 127.0.0.1:{decoy}"]]},
    {"headers": [["Content-Length", "100"]]},
    {"headers": [["Transfer-Encoding", "chunked"]]},
    {"headers": [["Host", "127.0.0.1:{decoy}"]]},
    {"method": "CONNECT", "target": "127.0.0.1:{decoy}"},
    {"method": "GET\r\n"},
    {"body": "R0VUIC9ib2R5IEhUVFAvMS4xDQpIb3N0OiB4DQoNCg=="},
]


def test_whatever_a_recording_says_only_well_formed_requests_go_to_the_named_instance(tmp_path, capsys):
    heard = []

    def listen(link):
        """A parser of another's: one request after the other, each answered, nothing left between them."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=200_000)
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(link.recv(65_536))
            elif isinstance(event, h11.Request):
                heard.append(event)
            elif isinstance(event, h11.EndOfMessage):
                link.sendall(parser.send(h11.Response(status_code=200, headers=[("Content-Length", "0")])))
                parser.send(h11.EndOfMessage())
                parser.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return

    decoy = socket.create_server(("127.0.0.1", 0))
    decoy.settimeout(0.0)
    port = str(decoy.getsockname()[1])
    good = {"at": 0, "user": "f" * 16, "method": "GET", "target": "/good", "headers": []}
    lines = [header_line(Header(experiment="e", key="ip", began=0.0))]
    lines += [json.dumps({**good, "id": f"{number:032x}"}).encode() + b"\n" for number in range(100)]
    for number, one in enumerate(HOSTILE):
        told = json.dumps({**good, "id": f"{1000 + number:032x}", **one}).replace("{decoy}", port)
        lines.append(told.encode() + b"\n")
    lines += [b"\xff\xfe\x00\n", b"GET / HTTP/1.1\r\n", b'{"x":"' + b"y" * 5_000_000 + b'"}\n', b'{"id":"cut']
    file = tmp_path / "r.jsonl"
    file.write_bytes(b"".join(lines))
    with decoy, server(listen) as instance:
        words = ("--methods", "GET,CONNECT", "--timeout", "2")
        results = replay(file, instance, *words, capsys=capsys)
        with pytest.raises(BlockingIOError):
            decoy.accept()
    told = Counter(dict(request.headers)[b"x-darktime-id"].decode() for request in heard)
    accepted = [1001, 1007, 1010]
    assert told == Counter(f"{number:032x}" for number in [*range(100), *accepted])
    assert all(request.target.startswith(b"/") for request in heard)
    assert results["sent"] == results["answered"] == 103
    assert results["recording"]["garbage"] == len(HOSTILE) - len(accepted) + 3
    assert results["recording"]["cut"]


def test_interrupted_it_keeps_what_there_is_and_ends_with_130(tmp_path):
    file = write(tmp_path / "r.jsonl", [asked(number, number * 0.05, number) for number in range(400)])
    with NotingServer() as instance:
        command = [Path(sys.executable).parent / "darktime", "replay", file, "--instance", instance.address]
        with subprocess.Popen(
            [*command, "--out", tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            wait_until(lambda: len(instance.noted) > 5, timeout_s=20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        assert process.returncode == 130, err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    require_schema(results)
    assert results["sent"] == len(instance.noted) < 400
    assert results["outcome"] == "interrupted"
    assert out.startswith("REPLAY     INTERRUPTED")


@pytest.mark.parametrize(
    ("told", "late"),
    [
        ({"lag": 51, "cpu": 0.9}, "used 90% of its core"),
        ({"behind": 51, "cpu": 0.5, "starved": 0.4}, "stood in line for one 40% of the time"),
        ({"lag": 51, "cpu": 0.1, "loop": 500}, None),
        ({"behind": 5000, "cpu": 0.5, "loop": 500}, None),  # an instance that answers late makes its users wait
        ({"lag": 49, "behind": 49, "cpu": 1.0, "loop": 500}, None),
        ({"errors": 2}, "refused 2 sockets"),
    ],
    ids=range(6),
)
def test_a_sender_that_was_late_because_it_was_busy_voids_the_replay(told, late):
    health = Health(
        send_lag_p99_ms=told.get("lag", 0),
        loop_lag_max_ms=told.get("loop", 0),
        cpu_share=told.get("cpu", 0),
        achieved_share=1,
        errors_of_ours=told.get("errors", 0),
    )
    found = lateness(health, behind_p99_ms=told.get("behind", 0), starved_share=told.get("starved", 0))
    assert (found is None) == (late is None)
    assert late is None or late in found
    outcome, code, reasons = _outcome("", found, ["5 % errors"], 3)
    assert (outcome, code) == (("differs", 3) if late is None else ("invalid", 4))
    assert late is None or reasons == [found]


@pytest.mark.parametrize(("status", "code"), [(200, 4), (500, 3)])
def test_lateness_voids_what_it_may_explain_and_other_statuses_it_does_not(tmp_path, capsys, monkeypatch, status, code):
    monkeypatch.setattr(replaying, "lateness", lambda *_, **__: "late")
    requests = [asked(number, number * 0.001, number) for number in range(20)]
    with NotingServer(statuses={"/page": status}) as instance:
        results = replay(write(tmp_path / "r.jsonl", requests), instance.address, capsys=capsys, code=code)
    assert (results["outcome"], results["sender"]["late"]) == ({4: "invalid", 3: "differs"}[code], "late")
