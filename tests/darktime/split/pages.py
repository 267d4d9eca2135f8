"""A server of pages for the comparison's tests: each answer is made by a function of the request."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Page:
    """One answer. ``hang``: none comes. ``reset``: the connection is reset. ``stream``: events, then it stays open."""

    body: bytes = b""
    kind: str = "application/json"
    status: int = 200
    coding: str = ""
    hang: bool = False
    reset: bool = False
    stream: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Pages(ThreadingHTTPServer):
    """``make`` gives the page of a path. ``say`` sends an event to all who hold a stream."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, make: Callable[[str], Page]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.make = make
        self.asked: Counter[str] = Counter()
        self.heads: list[dict[str, str]] = []
        self.gone = threading.Event()
        self.lock = threading.Lock()
        self.streams: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A relay that goes away is what these tests are about."""

    def say(self, event: bytes) -> None:
        """Send one event's bytes to every stream."""
        with self.lock:
            for link in self.streams:
                with suppress(OSError):
                    link.sendall(event)

    def stop(self) -> None:
        self.gone.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pages
    timeout = 20

    def _answer(self) -> None:
        server = self.server
        with server.lock:
            server.asked[f"{self.command} {self.path}"] += 1
            server.heads.append({name.lower(): value for name, value in self.headers.items()})
        page = server.make(self.path)
        if page.hang:
            server.gone.wait(20)
        elif page.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif page.stream:
            self._stream()
        else:
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            if page.coding:
                self.send_header("Content-Encoding", page.coding)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page.body)

    def _stream(self) -> None:
        server = self.server
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with server.lock:
            server.streams.append(self.connection)
        self.connection.settimeout(0.05)
        while not server.gone.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        with server.lock:
            server.streams.remove(self.connection)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""
