"""A proxy that loses and doubles published events, drawn at random; in the demo it stands before the dark push server.

It passes every publish through until it is told to begin (SIGUSR1), then draws for each event with an Event-Id whether
to lose it (answering as if all were well) or to send it twice, until its quotas are used up or it is told to stop
(SIGUSR2). What it did goes to a file of its own, written when it stops: nothing that counts can read it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from types import FrameType

UPSTREAM_TIMEOUT_S = 5.0
LOST_ANSWER = b"{}\r\n"
MAX_BODY = 1_000_000


class Faults:
    """Draws the fate of each event. ``one_in`` is the mean distance between two faults; quotas bound their number."""

    def __init__(self, *, lose: int, double: int, one_in: int) -> None:
        self._left = {"lost": lose, "doubled": double}
        self._one_in = one_in
        self._active = False
        self._lock = threading.Lock()
        self.deeds: dict[str, list[str]] = {"lost": [], "doubled": []}

    def begin(self) -> None:
        """From now on events may be lost or doubled."""
        self._active = True

    def end(self) -> None:
        """From now on every event passes."""
        self._active = False

    def draw(self, event: str) -> str | None:
        """The fate of one event: ``lost``, ``doubled`` or None."""
        with self._lock:
            kinds = [kind for kind, left in self._left.items() if left > 0]
            if not self._active or not kinds or secrets.randbelow(self._one_in):
                return None
            fate = secrets.choice(kinds)
            self._left[fate] -= 1
            self.deeds[fate].append(event)
            return fate


class Handler(BaseHTTPRequestHandler):
    """One connection of the publisher: each request is answered in order, over its own connection to the upstream."""

    protocol_version = "HTTP/1.1"
    faults: ClassVar[Faults]
    upstream: ClassVar[str]

    def setup(self) -> None:
        """Open nothing yet: the upstream may be down, which is then the reply to the first request."""
        super().setup()
        self.link = HTTPConnection(self.upstream, timeout=UPSTREAM_TIMEOUT_S)

    def finish(self) -> None:
        """Close both sides."""
        self.link.close()
        super().finish()

    def do_POST(self) -> None:
        """Pass a publish on once, not at all, or twice."""
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            self._answer(413, b"")
            return
        body = self.rfile.read(length)
        channel = parse_qs(urlsplit(self.path).query).get("id", [""])[0]
        event_id = self.headers.get("Event-Id")
        fate = self.faults.draw(f"{channel} {event_id}") if event_id else None
        if fate == "lost":
            self._answer(200, LOST_ANSWER)
            return
        if fate == "doubled":
            self._forward(body)
        self._answer(*self._forward(body))

    def do_GET(self) -> None:
        """Pass a question on."""
        self._answer(*self._forward(None))

    def _forward(self, body: bytes | None) -> tuple[int, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"connection", "host"}}
        for attempt in (1, 2):
            try:
                self.link.request(self.command, self.path, body=body, headers=headers)
                reply = self.link.getresponse()
                return reply.status, reply.read()
            except (HTTPException, OSError):
                # A kept connection that the upstream has closed is opened again once; a second failure is its answer.
                self.link.close()
                if attempt == 2:  # noqa: PLR2004 - the second of two
                    break
        return 502, b""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing a request: the deeds are in the file."""


class Server(ThreadingHTTPServer):
    """Threads that end with the process."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is the peer's affair; anything else is written to the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def write_deeds(path: Path, faults: Faults) -> None:
    """Write what was done, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(faults.deeds))
    draft.replace(path)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM; SIGUSR1 begins, SIGUSR2 ends the faults and writes the file."""
    parser = argparse.ArgumentParser(prog="python -m darktime.demo.fault_proxy", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--deeds", required=True, type=Path, metavar="FILE")
    parser.add_argument("--lose", type=int, default=7)
    parser.add_argument("--double", type=int, default=3)
    parser.add_argument("--one-in", type=int, default=25, help="mean number of events between two faults")
    options = parser.parse_args(argv)
    faults = Faults(lose=options.lose, double=options.double, one_in=options.one_in)
    Handler.faults, Handler.upstream = faults, options.upstream
    host, _, port = options.listen.rpartition(":")
    server = Server((host, int(port)), Handler)

    def begin(_signal: int, _frame: FrameType | None) -> None:
        faults.begin()

    def end(_signal: int, _frame: FrameType | None) -> None:
        faults.end()
        write_deeds(options.deeds, faults)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"listening on {host}:{server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
