"""Clients of the push server that share no code with it: http.client asks, h11 takes the stream's chunks apart."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import h11

if TYPE_CHECKING:
    from types import TracebackType

    from realtime_core.stack import Push

LIMIT_S = 10.0


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def explain(self) -> str | None:
        return self.headers.get("x-nginx-pushstream-explain")


def ask(push: Push, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
    """One request on a connection of its own; ``Event_Id="7"`` is the header Event-Id."""
    connection = http.client.HTTPConnection(push.host, push.port, timeout=LIMIT_S)
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def publish(push: Push, channel: str, body: bytes | str, **headers: str) -> Reply:
    """POST /pub, which must succeed."""
    reply = ask(push, "POST", f"/pub?id={channel}", body.encode() if isinstance(body, str) else body, **headers)
    assert reply.status == 200, reply
    return reply


def dial(push: Push) -> socket.socket:
    """A bare connection."""
    return socket.create_connection((push.host, push.port), timeout=LIMIT_S)


def say(push: Push, sent: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    with dial(push) as sock:
        sock.sendall(sent)
        return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end."""
    pieces = []
    while piece := sock.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)


def replies_in(stream: bytes, count: int) -> list[Reply]:
    """The first replies of a stream of pipelined ones."""
    found = []
    for _ in range(count):
        head, _, stream = stream.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        found.append(Reply(int(first.split()[1]), headers, stream[:length]))
        stream = stream[length:]
    return found


class Reader:
    """A subscriber: ``stream`` is the body so far, ``raw`` the bytes so far, ``ended`` whether the body is complete."""

    def __init__(
        self, push: Push, path: str, *, receive_buffer: int | None = None, wait: bool = True, **headers: str
    ) -> None:
        self.channels = path.split("/")
        self.stream = b""
        self.raw = b""
        self.ended = False
        self.reply: h11.Response | None = None
        self._http = h11.Connection(h11.CLIENT)
        self.sock = socket.socket()
        self.sock.settimeout(LIMIT_S)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect((push.host, push.port))
        fields = [
            ("Host", push.host),
            *((name.replace("_", "-"), value.encode("latin-1")) for name, value in headers.items()),
        ]
        self.sock.sendall(self._http.send(h11.Request(method="GET", target=f"/ev/{path}", headers=fields)) or b"")
        self._http.send(h11.EndOfMessage())
        if wait:
            self.until(b": \n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def headers(self) -> dict[str, str]:
        assert self.reply is not None
        return {name.decode(): value.decode() for name, value in self.reply.headers}

    def until(self, part: bytes, timeout_s: float = LIMIT_S) -> bytes:
        """Read until the stream ends with ``part``; the stream."""
        deadline = time.monotonic() + timeout_s
        while not self.stream.endswith(part):
            assert not self.ended, f"the stream ended with {self.stream[-200:]!r}"
            self._read(deadline)
        return self.stream

    def to_end(self, timeout_s: float = LIMIT_S) -> bytes:
        """Read until the body is complete; an unclean end raises h11's error."""
        deadline = time.monotonic() + timeout_s
        while not self.ended:
            self._read(deadline)
        return self.stream

    def _read(self, deadline: float) -> None:
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        piece = self.sock.recv(65_536)
        self.raw += piece
        self._http.receive_data(piece)
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                self.reply = event
            elif isinstance(event, h11.Data):
                self.stream += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.ended = True
                return
            else:
                return

    def close(self, *, reset: bool = False) -> None:
        """Hang up; with ``reset`` the way a machine does that has forgotten the connection."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Seen(NamedTuple):
    """An event as a browser dispatches it."""

    id: str
    type: str
    data: str


def browser_events(stream: bytes) -> list[Seen]:
    """An exact reading of the WHATWG standard: what a browser dispatches for these bytes."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    seen = []
    last_id, event_type, data = "", "", ""
    for line in text.split("\n")[:-1]:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                seen.append(Seen(last_id, event_type or "message", data.removesuffix("\n")))
            event_type, data = "", ""
        elif colon and not name:
            continue
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            event_type = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return seen


def metric(push: Push, name: str, **labels: str) -> float:
    """One figure of /metrics."""
    label_text = ",".join(f'{label}="{value}"' for label, value in labels.items())
    wanted = f"realtime_push_{name}" + (f"{{{label_text}}}" if labels else "")
    for line in ask(push, "GET", "/metrics").body.decode().splitlines():
        found, _, value = line.rpartition(" ")
        if found == wanted:
            return float(value)
    raise AssertionError(f"no metric {wanted}")
