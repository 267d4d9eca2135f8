"""Production behind nginx by other protocols than HTTP: an application by uwsgi, and one by FastCGI, as small as can be."""

from __future__ import annotations

import socketserver
import struct
import threading
from typing import Self

HEADER = struct.Struct(">BBHHBx")  # FastCGI 1.0, 3.3: version, type, request id, content length, padding length
STDIN, STDOUT, END_REQUEST = 5, 6, 3


class Gateway(socketserver.ThreadingTCPServer):
    """Answers every request with the method and the path that it was asked; keeps what came."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.server_address[1]}"

    def told(self, variables: dict[str, str]) -> bytes:
        """The application's answer, in the form that both protocols take."""
        what = f"{variables['REQUEST_METHOD']} {variables['REQUEST_URI']}"
        self.asked.append(what)
        body = f"hello {what} {variables.get('QUERY_STRING', '')}".encode()
        return b"Status: 200 OK\r\nContent-Type: text/plain\r\nX-App: 1\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Uwsgi(socketserver.StreamRequestHandler):
    """The uwsgi protocol: a head of four bytes, then names and values, each behind its length (little endian)."""

    server: Gateway

    def handle(self) -> None:
        _, size, _ = struct.unpack("<BHB", self.rfile.read(4))
        raw, values, at = self.rfile.read(size), [], 0
        while at < len(raw):
            (length,) = struct.unpack_from("<H", raw, at)
            values.append(raw[at + 2 : at + 2 + length].decode())
            at += 2 + length
        variables = dict(zip(values[::2], values[1::2], strict=True))
        self.rfile.read(int(variables.get("CONTENT_LENGTH") or 0))
        self.wfile.write(self.server.told(variables).replace(b"Status: 200 OK", b"HTTP/1.1 200 OK", 1))


class FastCgi(socketserver.StreamRequestHandler):
    """FastCGI: records; parameters until an empty one, then the body until an empty one."""

    server: Gateway

    def handle(self) -> None:
        parameters = b""
        while True:
            _, kind, request, length, padding = HEADER.unpack(self.rfile.read(HEADER.size))
            content = self.rfile.read(length)
            self.rfile.read(padding)
            if kind == STDIN and not length:
                break
            parameters += content if kind == 4 else b""
        answer = self.server.told(self._variables(parameters))
        self.wfile.write(HEADER.pack(1, STDOUT, request, len(answer), 0) + answer)
        self.wfile.write(HEADER.pack(1, STDOUT, request, 0, 0) + HEADER.pack(1, END_REQUEST, request, 8, 0) + bytes(8))

    def _variables(self, raw: bytes) -> dict[str, str]:
        found, at = {}, 0
        while at < len(raw):
            lengths = []
            for _ in range(2):
                length, step = (raw[at], 1) if raw[at] < 128 else (int.from_bytes(raw[at : at + 4]) & 0x7FFFFFFF, 4)
                lengths.append(length)
                at += step
            name, value = raw[at : at + lengths[0]], raw[at + lengths[0] : at + sum(lengths)]
            found[name.decode()] = value.decode()
            at += sum(lengths)
        return found
