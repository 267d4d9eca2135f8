"""In somebody's own nginx: answers, logs and mirrors are what they were, byte for byte; refused requests are not copied."""

from __future__ import annotations

import os
import re
import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING

import crossplane
import pytest

from darktime.split import levels, nginx_blocks
from darktime.split.config_text import Insertion, insert
from darktime.split.in_force import Place, places
from darktime.split.include import HTTP, http_include, location_include, server_include
from darktime.split.log_format import LogLine, OtherLine, read_line
from darktime.split.running import answers
from darktime.split.settings import CopySettings
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from tests.darktime.split.gateways import FastCgi, Gateway, Uwsgi
from tests.darktime.split.servers import Client, Origin, Quick
from tests.darktime.split.takers import Taker
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.stack import Stack

INSIDE, OUTSIDE = "Cookie: uid=u1", "X-Nobody: 1"
THEIRS = """\
daemon off; pid FOLDER/pid; error_log FOLDER/error.log warn; worker_processes 1;
events { worker_connections 512; }
http {
  TEMPORARY
  map_hash_max_size 4096;
  map $uri $theirs { default "x"; "~^/a{2}" "a"; }
  log_format short '$request $status $body_bytes_sent $theirs';
  log_format untimed '$request $status $theirs';  # the bytes of a subrequest are those that its connection has seen so far
  access_log FOLDER/http.log short;
  limit_req_zone $arg_zone zone=slow:1m rate=1r/m;
  proxy_cache_path FOLDER/cache keys_zone=kept:1m;
  upstream app { server ORIGIN; }
  server {
    listen PORT; server_name site.example;
    location / { proxy_pass http://app; proxy_set_header X-Real-Ip $remote_addr; }
    location /denied { deny all; proxy_pass http://app; }
    location /basic {
      auth_basic "ours";
      auth_basic_user_file FOLDER/passwords;
      proxy_pass http://app;
    }
    location /asked { auth_request /permission; proxy_pass http://app; }
    location = /permission { internal; proxy_pass http://app/permission$request_uri; proxy_pass_request_body off; }
    location /slow { limit_req zone=slow; proxy_pass http://app; }
    location /cached {
      proxy_cache kept; proxy_cache_valid 200 1m; add_header X-Cache $upstream_cache_status; proxy_pass http://app;
    }
    location /uri/ { proxy_pass http://app/elsewhere/; proxy_method HEAD; proxy_set_body "fixed"; proxy_bind 127.0.0.1; }
    location /uwsgi { uwsgi_pass UWSGI; uwsgi_param REQUEST_METHOD $request_method; uwsgi_param REQUEST_URI $request_uri; }
    location /fcgi {
      fastcgi_pass FCGI; fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
      access_log FOLDER/own.log short;
    }
    location ~ ^/reg/[0-9]+$ { proxy_pass http://app; error_page 404 502 = @fallback; proxy_intercept_errors on; }
    location = /exact { proxy_pass http://app; }
    location @fallback { return 299 "fallen back\\n"; }
    location /broken { error_page 502 504 = @fallback; proxy_pass http://127.0.0.1:DEAD; }
    location /page { error_page 404 /sorry; proxy_intercept_errors on; proxy_pass http://app/missing; }
    location = /sorry { return 200 "sorry\\n"; }
    location /quiet { access_log off; proxy_pass http://app; }
    location /streamed { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://RAW; }
    location /rewritten { rewrite ^/rewritten/(.*) /other/$1 break; proxy_pass http://app; }
    location /chosen { if ($arg_stop) { return 403; } proxy_pass http://app; }
  }
  server {
    listen OTHER; server_name other.example;
    access_log FOLDER/server.log untimed; access_log FOLDER/errors.log "untimed" if=$theirs;
    mirror /theirs; mirror_request_body off;
    proxy_method POST; proxy_set_body "fixed"; proxy_bind 127.0.0.1; proxy_cache kept; proxy_cache_valid any 1m;
    log_subrequest on;
    location / { proxy_pass http://app; }
    location = /theirs { internal; proxy_pass http://MIRRORED$request_uri; }
  }
}
"""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
REQUESTS = [
    ("GET", "/"), ("GET", "/thread/1?x=1&y=%20"), ("HEAD", "/thread/1"), ("POST", "/thread/1"), ("GET", "/big"),
    ("GET", "/chunked"), ("GET", "/denied"), ("GET", "/basic"), ("GET", "/basic:ann"), ("GET", "/asked?may=yes"),
    ("GET", "/asked?may=-no"), ("GET", "/slow?zone=1"), ("GET", "/slow?zone=1"), ("GET", "/cached/1"), ("GET", "/cached/1"),
    ("GET", "/uri/x%20y?z=1"), ("GET", "/uwsgi/a?b=c"), ("POST", "/uwsgi/a"), ("GET", "/fcgi/a?b=c"), ("GET", "/reg/12"),
    ("GET", "/reg/404"), ("GET", "/exact"), ("GET", "/broken"), ("GET", "/page"), ("GET", "/quiet"), ("GET", "/rewritten/x"),
    ("GET", "/chosen?stop=1"), ("GET", "/chosen"), ("GET", "/logout"), ("GET", "/aa"),
]  # fmt: skip
OTHERS = ["/", "/", "/aa/x?y=1"]
REFUSED = 5  # before a copy could be made: /denied, /basic, /asked?may=-no, the second /slow, /chosen?stop=1
# Of these, whose access is granted and who may be copied.
COPIED = {
    "/", "/thread/1?x=1&y=%20", "/thread/1", "/big", "/chunked", "/basic:ann", "/asked?may=yes", "/slow?zone=1", "/cached/1",
    "/uri/x%20y?z=1", "/uwsgi/a?b=c", "/fcgi/a?b=c", "/reg/12", "/reg/404", "/exact", "/broken", "/page",
    "/rewritten/x", "/chosen", "/aa",
}  # fmt: skip


class Theirs:
    """Somebody's nginx with its production behind it; with ``changed`` their configuration has the includes."""

    def __init__(self, stack: Stack, folder: Path, settings: CopySettings | None, last: ExitStack) -> None:
        folder.mkdir()
        self.folder = folder
        self.origin, self.mirrored = Origin(), Origin()
        last.callback(self.origin.stop)
        last.callback(self.mirrored.stop)
        self.uwsgi, self.fcgi = (last.enter_context(Gateway(handler)) for handler in (Uwsgi, FastCgi))
        self.raw = last.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.raw.settimeout(5)
        self.port, self.other = free_port(), free_port()
        words = {
            "FOLDER": str(folder), "PORT": f"127.0.0.1:{self.port}", "OTHER": f"127.0.0.1:{self.other}",
            "ORIGIN": self.origin.address, "MIRRORED": self.mirrored.address, "UWSGI": self.uwsgi.address,
            "FCGI": self.fcgi.address, "DEAD": "1", "RAW": "{}:{}".format(*self.raw.getsockname()),
            "TEMPORARY": " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS),
        }  # fmt: skip
        text = THEIRS
        for word, value in words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        (folder / "passwords").write_text("ann:{PLAIN}secret\n")
        config = folder / "nginx.conf"
        config.write_text(text)
        self.places: tuple[Place, ...] = ()
        if settings is not None:
            self._include(settings, config)
        if os.geteuid() == 0:
            config.write_text(f"user root; {config.read_text()}")
        argv = [str(find_nginx().path), "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
        stack.start(folder.name, argv, ready=lambda: answers("127.0.0.1", self.port), listens=("127.0.0.1", self.port))

    def _include(self, settings: CopySettings, config: Path) -> None:
        parsed = crossplane.parse(str(config), combine=True)
        assert parsed["status"] == "ok", parsed["errors"]
        self.places = places(parsed["config"][0]["parsed"], "/dev/null")
        state = settings.relay_socket.parent
        (state / HTTP).write_text(http_include(settings))
        insertions = []

        def put(spot, name):
            text = f"include {state / name};"
            insertions.append(Insertion(file=spot.file, line=spot.line, words=spot.words, text=text))

        for number, place in enumerate(self.places):
            if (
                "internal" in place.has
                or place.location.startswith("@")
                or place.answers in ("", "return")
                or place.log_off
            ):
                continue
            server = f"server-{place.server_at.line}.conf"
            (state / f"location-{number}.conf").write_text(location_include(settings, place))
            (state / server).write_text(server_include(settings, state, place))
            put(place.http_after, HTTP)
            put(place.server_at, server)
            put(place.at, f"location-{number}.conf")
        for file, text in insert({str(config): config.read_text()}, insertions).items():
            Path(file).write_text(text)

    def log(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def ask(self, method: str, target: str, cookie: str, port: int = 0) -> bytes:
        """The whole answer, as bytes, on a connection of its own."""
        target, _, user = target.partition(":")
        lines = [cookie, "Connection: close", *(["Authorization: Basic YW5uOnNlY3JldA=="] if user else [])]
        with Client(f"127.0.0.1:{port or self.port}") as client:
            client.send(target, *lines, method=method, body=b"a body" if method == "POST" else b"")
            data = b""
            while piece := client.sock.recv(65536):
                data += piece
        return re.sub(rb"\r\n(Date|ETag|Last-Modified): [^\r]*", b"", data)


@pytest.fixture
def settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> CopySettings:
    monkeypatch.setattr(nginx_blocks, "CENSUS_PERCENT", 100)  # all that is not copied is told of too
    (folder / "level").mkdir()
    (folder / "lease").mkdir()
    return CopySettings(
        relay_socket=folder / "relay.sock",
        sink_socket=folder / "sink.sock",
        log_port=free_port(kind=SOCK_DGRAM),
        dark_state="isolated",
        max_percent=100.0,
        slot_s=1000,
    )


@pytest.fixture
def pair(stack: Stack, settings: CopySettings, tmp_path: Path) -> Iterator[tuple[Theirs, Theirs, Quick, socket.socket]]:
    """Their nginx as it was, and as it is with the includes; who gets the copies, and who the lines."""
    with ExitStack() as last:
        relay = Quick(settings.relay_socket)
        last.callback(relay.stop)
        lines = last.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        lines.bind(("127.0.0.1", settings.log_port))
        lines.settimeout(5)
        yield (
            Theirs(stack, tmp_path / "before", None, last),
            Theirs(stack, tmp_path / "after", settings, last),
            relay,
            lines,
        )


def all_lines(lines: socket.socket, secret: str) -> list[LogLine | OtherLine]:
    """What nginx has told by now; it tells before it takes the next request of a connection."""
    found = []
    lines.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            line = read_line(lines.recv(65536), secret)
            assert line is not None
            found.append(line)
    return found


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_answers_logs_and_what_production_sees_are_what_they_were(
    pair: tuple[Theirs, Theirs, Quick, socket.socket], settings: CopySettings, folder: Path, percent: float
) -> None:
    before, after, relay, lines = pair
    levels.set_percent(folder, percent, 100.0)
    levels.renew(folder, time.time(), settings.slot_s)
    for cookie in (INSIDE, OUTSIDE):
        for method, target in REQUESTS:
            there = target.replace("zone=1", f"zone={cookie[:3]}").replace("/cached/1", f"/cached/{cookie[:3]}")
            assert after.ask(method, there, cookie) == before.ask(method, there, cookie), (method, target, cookie)
        for target in OTHERS:
            assert after.ask("GET", target, cookie, after.other) == before.ask("GET", target, cookie, before.other)
    for name in ("http.log", "own.log", "server.log", "errors.log"):
        wait_until(lambda name=name: len(after.log(name)) >= len(before.log(name)), what=f"lines of {name}")
        assert sorted(after.log(name)) == sorted(before.log(name)), name
    assert before.log("server.log")
    assert after.origin.asked == before.origin.asked
    assert after.origin.heads == before.origin.heads
    assert (after.uwsgi.asked, after.fcgi.asked) == (before.uwsgi.asked, before.fcgi.asked)
    wait_until(lambda: after.mirrored.asked and after.mirrored.asked == before.mirrored.asked, what="their own mirror")
    made = (
        [target.partition(":")[0] for method, target in REQUESTS if method != "POST" and target in COPIED]
        if percent
        else []
    )
    if made:
        made = sorted([*made, *OTHERS])  # and of the other server
        made.remove("/slow?zone=1")  # the second was refused
    wait_until(lambda: len(relay.targets) >= len(made), what=f"{len(made)} copies")
    assert sorted(one.replace(INSIDE[:3], "1") for one in relay.targets) == made
    assert set(relay.methods) <= {"GET", "HEAD"}
    assert relay.lengths == []
    assert set(relay.users) == ({"u1"} if percent else set())
    told = all_lines(lines, settings.secret)
    copied = [one.id for one in told if isinstance(one, LogLine)]
    assert len(copied) == len(made), "one line a copy"
    assert set(copied) == set(relay.ids)
    assert len(set(relay.ids)) == len(made), "no request was copied twice"
    others = [one for one in told if isinstance(one, OtherLine)]
    quiet = 2  # their access_log is off there, so the location cannot be mirrored
    asked = len(REQUESTS) + len(OTHERS) - REFUSED
    assert len(copied) + len(others) == 2 * asked - quiet, "one line a request, copied or not"
    assert Counter(one.keyed for one in others)["none"] == asked - 1, "of those without a cookie"
    assert len(after.log("error.log")) == len(before.log("error.log"))


def test_without_a_lease_nobody_is_told_of_whatever_is_asked(
    pair: tuple[Theirs, Theirs, Quick, socket.socket], folder: Path, settings: CopySettings
) -> None:
    """Who takes the port of a split that has ended learns nothing, and their error log is not filled."""
    _, after, relay, lines = pair
    levels.set_percent(folder, 100.0, 100.0)
    for cookie in (INSIDE, OUTSIDE):
        for method, target in REQUESTS:
            after.ask(method, target, cookie)
    assert all_lines(lines, settings.secret) == []
    assert relay.requests == 0


def test_an_upload_is_passed_on_while_it_comes_as_before(
    pair: tuple[Theirs, Theirs, Quick, socket.socket], settings: CopySettings, folder: Path
) -> None:
    _, after, relay, _ = pair
    levels.set_percent(folder, 100.0, 100.0)
    levels.renew(folder, time.time(), settings.slot_s)
    with Client(f"127.0.0.1:{after.port}") as client:
        client.sock.sendall(
            f"POST /streamed HTTP/1.1\r\nHost: x\r\n{INSIDE}\r\nContent-Length: 20\r\n\r\nthe first".encode()
        )
        link, _ = after.raw.accept()
        with link:
            link.settimeout(5)
            data = b""
            while not data.endswith(b"the first"):
                data += link.recv(65536)
            client.sock.sendall(b" the second")
            while not data.endswith(b"the second"):
                data += link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.reply()[1] == b"ok"
    assert relay.requests == 0


@pytest.mark.parametrize("copied", [False, True], ids=["without", "with"])
def test_bodies_are_copied_only_where_that_was_asked_for_and_production_has_them_all_the_same(
    stack: Stack, settings: CopySettings, folder: Path, tmp_path: Path, *, copied: bool
) -> None:
    settings = replace(settings, methods=("GET", "POST"), copy_bodies=copied, max_body=6)
    with ExitStack() as last:
        relay = last.enter_context(Taker(settings.relay_socket))
        theirs = Theirs(stack, tmp_path / "theirs", settings, last)
        levels.set_percent(folder, 100.0, 100.0)
        levels.renew(folder, time.time(), settings.slot_s)
        targets = ["/thread/1", "/uwsgi/a", "/fcgi/a", "/rewritten/x", "/exact"]
        for target in targets:
            assert b" 200 " in theirs.ask("POST", target, INSIDE)
        theirs.ask("POST", "/thread/1", OUTSIDE)
        with Client(f"127.0.0.1:{theirs.port}") as client:
            client.get("/thread/1", INSIDE, method="POST", body=b"7 bytes")
            client.get("/thread/1", INSIDE, method="GET")
        wanted = [("POST", target, b"a body", None) for target in targets] + [("POST", "/thread/1", b"", "too_big")]
        wanted = (wanted if copied else []) + [("GET", "/thread/1", b"", None)]
        wait_until(lambda: len(relay.taken) >= len(wanted) and relay.taken[-1].method == "GET", what="the copies")
        told = [(one.method, one.target, bytes(one.body), one.headers.get("x-darktime-body")) for one in relay.taken]
        assert told == wanted
        assert theirs.origin.asked["POST /thread/1"] == 3
        if not copied:
            return
        # Everybody's uploads are read whole there, which is why it has to be asked for.
        with Client(f"127.0.0.1:{theirs.port}") as client:
            client.send("/streamed", OUTSIDE, "Content-Length: 20", method="POST")
            client.sock.sendall(b"the first")
            theirs.raw.settimeout(0.3)
            with pytest.raises(TimeoutError):
                theirs.raw.accept()
