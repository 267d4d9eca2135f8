"""One line of an access log: what nginx itself writes in three formats is read alike, and no line breaks the reader."""

import http.client
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.running import answers
from darktime.wire.access_line import Logged, read_line
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from tests.support.waiting import wait_until

COMMON = '127.0.0.1 - - [25/Nov/2026:10:00:00 +0100] "GET /a?b=1 HTTP/1.1" 200 12'
AT = datetime(2026, 11, 25, 9, tzinfo=UTC).timestamp()
JSON_FORMAT = (
    '{"msec":"$msec","remote_addr":"$remote_addr","remote_user":"$remote_user","request":"$request","status":"$status",'
    '"http_cookie":"$http_cookie","http_user_agent":"$http_user_agent"}'
)
CONFIG = """
daemon off; pid {folder}/pid; error_log stderr; events {{ }}
http {{
  {temporary}
  log_format plain '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent';
  log_format object escape=json '{json_format}';
  access_log {folder}/combined combined; access_log {folder}/common plain; access_log {folder}/json object;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""
AGENTS = ["Mozilla/5.0 (X11; Linux)", 'a "quoted" agent', "back\\slash", "Ünïcödé", "-"]
PATHS = ["/", "/thread/1?x=1&y=%20", "/%25%22", "/ev/thread:12", "/a?q=[25/Nov/2026:10:00:00]"]


@pytest.fixture
def nginx(stack, tmp_path):
    """A real nginx that logs each request three times; its port, and the logs by format."""
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, json_format=JSON_FORMAT, temporary=temporary))
    argv = [str(find_nginx().path), "-c", str(config), "-p", str(folder), "-e", "stderr"]
    stack.start("logging", argv, ready=lambda: answers("127.0.0.1", port), listens=("127.0.0.1", port))
    return port, {kind: folder / kind for kind in ("combined", "common", "json")}


def test_what_nginx_writes_in_three_formats_is_read_alike(nginx):
    port, logs = nginx
    began = time.time()
    for path in PATHS:
        for agent in AGENTS:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", path, headers={"User-Agent": agent.encode(), "Cookie": "uid=u1; theme=dark"})
            assert link.getresponse().status == 204
            link.close()
    whole = len(PATHS) * len(AGENTS)
    wait_until(lambda: all(log.read_text().count("\n") >= whole for log in logs.values()), 5, "all lines")
    kinds = {
        kind: [read_line(line) for line in log.read_text(errors="surrogateescape").splitlines()]
        for kind, log in logs.items()
    }
    kinds = {kind: [line for line in lines if line is not None] for kind, lines in kinds.items()}
    asked = [path for path in PATHS for _ in AGENTS]
    assert [line.target for line in kinds["json"]][-len(asked) :] == asked
    for kind in ("combined", "common"):
        assert [line.target for line in kinds[kind]] == [line.target for line in kinds["json"]], kind
        assert [line.status for line in kinds[kind]] == [line.status for line in kinds["json"]]
        assert all(began - 1 <= line.at_s <= time.time() + 1 for line in kinds[kind])
        assert {(line.method, line.client, line.user) for line in kinds[kind]} == {("GET", "127.0.0.1", "")}
    assert kinds["json"][-1].fields["cookie_uid"] == "u1"
    agents = [line.fields.get("http_user_agent", "-") for line in kinds["combined"]][-len(asked) :]
    assert agents == AGENTS * len(PATHS)
    assert agents == [line.fields.get("http_user_agent", "-") for line in kinds["json"]][-len(asked) :]


def test_common_and_combined_are_told_apart_by_their_last_two_fields():
    plain = Logged(at_s=AT, method="GET", target="/a?b=1", status=200, client="127.0.0.1")
    assert read_line(COMMON) == plain
    assert read_line(COMMON + ' "-" "x"') == Logged(
        at_s=AT, method="GET", target="/a?b=1", status=200, client="127.0.0.1", fields={"http_user_agent": "x"}
    )


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        # As Caddy writes by default.
        (
            {
                "ts": AT, "status": 200,
                "request": {
                    "method": "GET", "uri": "/a?b=1", "client_ip": "127.0.0.1",
                    "headers": {"Cookie": ["uid=u1; t=2"], "X-User": ["7"]},
                },
            },
            {"cookie_uid": "u1", "cookie_t": "2", "http_x_user": "7"},
        ),
        # As Traefik does.
        (
            {
                "StartUTC": "2026-11-25T09:00:00Z", "RequestMethod": "GET", "RequestPath": "/a?b=1",
                "DownstreamStatus": 200, "ClientHost": "127.0.0.1", "request_X-User": "7",
            },
            {"http_x_user": "7"},
        ),
        # As Envoy's documentation has it.
        (
            {
                "start_time": "2026-11-25T09:00:00.000Z", "method": "GET", "path": "/a?b=1", "response_code": 200,
                "client_ip": "127.0.0.1",
            },
            {},
        ),
        # As people write for nginx.
        (
            {
                "time_iso8601": "2026-11-25T10:00:00+01:00", "request_method": "GET", "uri": "/a", "args": "b=1",
                "status": "200", "remote_addr": "127.0.0.1", "cookie_uid": "u1", "upstream_response_time": "-",
            },
            {"cookie_uid": "u1"},
        ),
        ({"time": AT * 1000, "request": "GET /a?b=1 HTTP/2.0", "status": 200, "clientip": "127.0.0.1"}, {}),
    ],
)  # fmt: skip
def test_json_logs_of_other_servers_are_read_by_their_own_names(told, fields):
    expected = Logged(at_s=AT, method="GET", target="/a?b=1", status=200, client="127.0.0.1", fields=fields)
    assert read_line(json.dumps(told)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no log",
        "{",
        "[]",
        "{}",
        '{"msec": "now", "request": "GET / HTTP/1.1"}',
        '{"msec": "1e999", "request": "GET / HTTP/1.1"}',
        '{"msec": 1, "request": "GET http://elsewhere/ HTTP/1.1"}',
        COMMON.replace("25/Nov", "31/Feb"),
        COMMON.replace("GET /a?b=1 HTTP/1.1", "\\x16\\x03\\x01"),
        "x" * 70_000,
        "{" * 50_000,
    ],
)
def test_what_is_no_request_is_none(line):
    assert read_line(line) is None


@given(
    st.text(max_size=200) | st.dictionaries(st.text(max_size=20), st.text(max_size=40) | st.integers()).map(json.dumps)
)
def test_whatever_stands_there_it_is_a_request_or_none(line):
    found = read_line(line)
    assert found is None or (found.target.startswith("/") and found.at_s > 0)
