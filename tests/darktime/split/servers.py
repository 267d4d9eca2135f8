"""Servers for the splitter's tests: an origin that counts what it is asked, and a collector of copies."""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BINARY = bytes(range(256)) * 300


class Origin(ThreadingHTTPServer):
    """Production, or the dark instance.

    ``hang_s``: how long each answer takes, to paths that begin with ``hang_on``. ``slower_for``: how much longer it takes for
    a cookie. ``status``: of plain answers.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.heads: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.hang_s = 0.0
        self.slower_for: Callable[[str], float] | None = None  # by the cookie
        self.hang_on = "/"
        self.status = 200
        self.streams = 0
        self.lock = threading.Lock()
        self.links: list[socket.socket] = []
        self.gone = threading.Event()
        self.events: list[bytes] = []
        self.farewell = b""  # what a stream still gets when its reader has closed its half
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away is what these tests are about."""

    def setup_link(self, link: socket.socket) -> None:
        with self.lock:
            self.links.append(link)

    def stop(self) -> None:
        """Die: no connection survives. May be repeated."""
        if self.gone.is_set():
            return
        self.gone.set()
        self.shutdown()
        for link in self.links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Origin/7"
    server: Origin
    timeout = 20

    def setup(self) -> None:
        super().setup()
        self.server.setup_link(self.connection)

    def _answer(self) -> None:
        server, length = self.server, int(self.headers.get("Content-Length", "0"))
        self.rfile.read(length)
        with server.lock:
            server.asked[f"{self.command} {self.path}"] += 1
            server.heads.append({name.lower(): value for name, value in self.headers.items()})
            server.targets.append(self.path)
        wait_s = server.hang_s if self.path.startswith(server.hang_on) else 0.0
        if server.slower_for is not None:
            wait_s += server.slower_for(self.headers.get("Cookie", ""))
        if wait_s:
            server.gone.wait(wait_s)
        if self.path.startswith("/ev/"):
            self._stream()
        elif self.path.startswith("/chunked"):
            self.send_response(203, "Odd reason")
            for name, value in (
                ("X-Odd", "a, b"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("X-Accel-Redirect", "/x"),
            ):
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (BINARY[:1000], BINARY[1000:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            body = BINARY if self.path.startswith("/big") else b"hello " + self.path.encode()
            self.send_response(403 if self.path.endswith("-no") else server.status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def _stream(self) -> None:
        server, sent = self.server, 0
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with server.lock:
            server.streams += 1
        self.connection.settimeout(0.01)
        try:
            while not server.gone.is_set():
                for event in server.events[sent:]:
                    self.wfile.write(b"data: " + event + b"\n\n")
                    sent += 1
                try:
                    if not self.connection.recv(1):
                        self.wfile.write(server.farewell)
                        return
                except TimeoutError:
                    continue
        finally:
            with server.lock:
                server.streams -= 1

    do_GET = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


class Quick:
    """Answers whatever comes, on TCP or on a unix socket, with the same bytes; keeps the users that copies name."""

    USER: ClassVar[re.Pattern[bytes]] = re.compile(rb"\r\nX-Darktime-User: ([^\r]*)\r\n")

    ID: ClassVar[re.Pattern[bytes]] = re.compile(rb"\r\nX-Darktime-Id: ([^\r]*)")

    def __init__(self, path: Path | None = None) -> None:
        self._answer = b"HTTP/1.1 204 No Content\r\n\r\n" if path else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(str(path) if path else ("127.0.0.1", 0))
        self._listener.listen(128)
        self.address = "" if path else f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.users: Counter[str] = Counter()
        self.requests = 0
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.methods: list[str] = []
        self.lengths: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            links: dict[socket.socket, bytes] = {}
            while not self._stop.is_set():
                for key, _ in selector.select(0.05):
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    if sock is self._listener:
                        link, _ = sock.accept()
                        links[link] = b""
                        selector.register(link, selectors.EVENT_READ)
                        continue
                    try:
                        data = sock.recv(65536)
                    except OSError:
                        data = b""
                    if not data:
                        selector.unregister(sock)
                        del links[sock]
                        sock.close()
                        continue
                    *heads, links[sock] = (links[sock] + data).split(b"\r\n\r\n")
                    for head in heads:
                        self.requests += 1
                        self.methods.append(head.split(b" ", 1)[0].decode("latin-1"))
                        self.lengths += re.findall(rb"\r\nContent-Length: ([^\r]*)", head)
                        self.ids += [one.decode() for one in self.ID.findall(head)]
                        self.targets.append(head.split(b" ", 2)[1].decode("latin-1"))
                        found = self.USER.search(head + b"\r\n")
                        if found:
                            self.users[found[1].decode()] += 1
                    if heads:
                        with suppress(BrokenPipeError):  # whoever asked waits no longer
                            sock.sendall(self._answer * len(heads))
            for link in links:
                link.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()


class Client:
    """One kept connection that speaks HTTP/1.1 in raw bytes."""

    def __init__(self, address: str, timeout_s: float = 15.0, source: str = "") -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=timeout_s, source_address=(source, 0))

    def send(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> None:
        head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: site.example", *lines))
        if body:
            head += f"\r\nContent-Length: {len(body)}"
        self.sock.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)

    def reply(self, *, to_head: bool = False) -> tuple[bytes, bytes]:
        """Head and body of the next reply."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        low = head.lower()
        length = re.search(rb"\r\ncontent-length: (\d+)", low)
        if to_head or b" 204 " in head.split(b"\r\n")[0]:
            return head, rest
        if length:
            while len(rest) < int(length[1]):
                rest += self._more()
            return head, rest
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += self._more()
            size, _, rest = rest.partition(b"\r\n")
            want = int(size, 16)
            while len(rest) < want + 2:
                rest += self._more()
            body += rest[:want]
            rest = rest[want + 2 :]
            if not want:
                return head, body

    def get(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> tuple[bytes, bytes]:
        self.send(path, *lines, method=method, body=body)
        return self.reply(to_head=method == "HEAD")

    def timed(self, path: str, *lines: str) -> float:
        """Seconds that one request takes."""
        began = time.perf_counter()
        self.get(path, *lines)
        return time.perf_counter() - began

    def pipeline(self, path: str, headers: list[str]) -> None:
        """Many requests at once, each with one more header; all answers are read to their end (``Quick`` answers)."""
        for start in range(0, len(headers), 200):
            part = headers[start : start + 200]
            raw = "".join(f"GET {path} HTTP/1.1\r\nHost: site.example\r\n{line}\r\n\r\n" for line in part)
            self.sock.sendall(raw.encode())
            got = b""
            while got.count(b"\r\n\r\nok") < len(part):
                got += self._more()

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
