"""An HTTP/2 client on one connection, with or without TLS; the protocol is the ``h2`` package's, an oracle of its own."""

from __future__ import annotations

import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence


@dataclass
class Answer:
    """What one stream brought. ``refused``: it was reset with REFUSED_STREAM. ``seconds``: from its request to its end."""

    began: float
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    refused: bool = False
    reset: bool = False
    seconds: float | None = None

    @property
    def status(self) -> int:
        return int(dict(self.headers)[":status"])

    @property
    def fields(self) -> Counter[tuple[str, str]]:
        return Counter(pair for pair in self.headers if not pair[0].startswith(":"))


class H2Client:
    """One connection; keeps to the server's limit of streams, as browsers do."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None, host: str = "site.example") -> None:
        at, _, port = address.rpartition(":")
        self.host = host
        self.sock = socket.create_connection((at, int(port)), timeout=10)
        if tls is not None:
            wrapped = tls.wrap_socket(self.sock, server_hostname=host)
            assert wrapped.selected_alpn_protocol() == "h2"
            self.sock = wrapped
        self._scheme = "http" if tls is None else "https"
        self._h2 = H2Connection(H2Configuration(header_encoding="latin-1"))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**30)
        self._open: dict[int, Answer] = {}
        self._send()
        self._settled = False
        while not self._settled:
            self._receive()

    @property
    def limit(self) -> int:
        """How many streams the server allows at once."""
        return self._h2.remote_settings.max_concurrent_streams

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b"") -> Answer:
        """One request and its answer."""
        answer = self._begin(path, headers, method, body)
        while answer.seconds is None:
            self._receive()
        return answer

    def stream(self, path: str, *headers: tuple[str, str], until: bytes) -> Answer:
        """An answer that goes on, read until its body ends so."""
        answer = self._begin(path, headers, "GET", b"")
        while not answer.body.endswith(until):
            self._receive()
        return answer

    def many(self, path: str, headers: Sequence[tuple[str, str]], *, parallel: int) -> list[Answer]:
        """One request a header, so many at once (fewer where the server allows fewer)."""
        answers: list[Answer] = []
        left = list(headers)
        while left or self._open:
            room = min(parallel, self.limit)
            while left and len(self._open) < room:
                answers.append(self._begin(path, [left.pop()], "GET", b""))
            self._receive()
        return answers

    def _begin(self, path: str, headers: Sequence[tuple[str, str]], method: str, body: bytes) -> Answer:
        stream = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":authority", self.host), (":scheme", self._scheme), (":path", path)]
        length = [("content-length", str(len(body)))] if body else []
        self._open[stream] = answer = Answer(began=time.perf_counter())
        self._h2.send_headers(stream, [*pseudo, *headers, *length], end_stream=not body)
        while body:
            while not self._h2.local_flow_control_window(stream):
                self._receive()
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            piece, body = body[:size], body[size:]
            self._h2.send_data(stream, piece, end_stream=not body)
            self._send()
        self._send()
        return answer

    def _send(self) -> None:
        self.sock.sendall(self._h2.data_to_send())

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        for event in self._h2.receive_data(data):
            if isinstance(event, RemoteSettingsChanged):
                self._settled = True
            elif isinstance(event, ResponseReceived):
                self._open[event.stream_id].headers = list(event.headers)
            elif isinstance(event, DataReceived):
                self._open[event.stream_id].body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (StreamEnded, StreamReset)):
                answer = self._open.pop(event.stream_id, None)
                if answer is None:
                    continue
                answer.seconds = time.perf_counter() - answer.began
                if isinstance(event, StreamReset):
                    answer.reset = True
                    answer.refused = event.error_code == ErrorCodes.REFUSED_STREAM
        self._send()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
