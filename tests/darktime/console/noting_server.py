"""A small server that notes every request that it gets: when, by which connection, with which headers and body."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Noted:
    """``link``: a number of the connection. ``at``: monotonic seconds. ``source``: the address it came from."""

    at: float
    link: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    source: str

    @property
    def id(self):
        """The id that it was sent with."""
        return self.headers["x-darktime-id"]

    @property
    def user(self):
        """Who asked, as these tests' recordings say it in a header."""
        return self.headers.get("x-who", "")


class NotingServer(ThreadingHTTPServer):
    """``statuses``: of targets that are not answered with 200. ``takes_s``: each answer. ``both_at_once``: of one user."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *, statuses=None, takes_s=0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.noted = []
        self.statuses = statuses or {}
        self.takes_s = takes_s
        self.lock = threading.Lock()
        self.under_way = Counter()
        self.most_at_once = 0
        self.both_at_once = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def address(self):
        """HOST:PORT."""
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A peer that goes away is what some tests are about."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for a delayed ACK

    def _answer(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        noted = Noted(
            time.monotonic(), self.client_address[1], self.command, self.path, headers, body, self.client_address[0]
        )
        with server.lock:
            server.noted.append(noted)
            if server.under_way[noted.user]:
                server.both_at_once.append(noted.user)
            server.under_way[noted.user] += 1
            server.most_at_once = max(server.most_at_once, server.under_way.total())
        if server.takes_s:
            server.ended.wait(server.takes_s)
        with server.lock:
            server.under_way[noted.user] -= 1
        status = server.statuses.get(self.path, 200)
        if status == 0:
            self.close_connection = True
            return
        with suppress(OSError):
            self._say(status)

    def _say(self, status):
        stream = self.path.startswith("/ev/")
        said = b"data: x\n\n" if stream else b"hello"
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if stream else "text/plain; charset=utf-8")
        if not stream:
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)
        if stream:
            self.server.ended.wait(10)
            self.close_connection = True

    do_GET = do_POST = do_HEAD = _answer  # noqa: N815 - the base class's names

    def log_message(self, *_):
        """Quiet."""
