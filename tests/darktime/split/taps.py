"""What stands between nginx and the relay in a test: it sees each line and each copy, and may lose or repeat them."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from darktime.split.log_format import LogLine, read_line
from darktime.split.relay.copies import ANSWER
from tests.darktime.split.accepting import Accepting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from darktime.split.settings import CopySettings

_ID = re.compile(rb"\r\nX-Darktime-Id: ([0-9a-f]{32})\r\n")
_BUFFER = 8 << 20


class LineTap:
    """Takes nginx's lines on the split's port, notes them, and hands them on to the relay's own. A context.

    ``lines``: those of copied requests, by id; ``sunk``: ids that nginx's sink told of.
    """

    def __init__(self, settings: CopySettings, port: int | None = None) -> None:
        self.lines: Counter[str] = Counter()
        self.sunk: Counter[str] = Counter()
        self.strange = 0
        self._secret = settings.secret
        self._to = None if port is None else ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind(("127.0.0.1", settings.log_port))
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def fill(self, line: bytes, times: int) -> None:
        """Hand this on so often, as if nginx had sent it."""
        assert self._to is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
            for _ in range(times):
                nginx.sendto(line, self._to)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                raw = self._socket.recv(65536)
            except TimeoutError:
                continue
            line = read_line(raw, self._secret)
            if isinstance(line, LogLine):
                (self.sunk if line.sink else self.lines)[line.id] += 1
            elif line is None:
                self.strange += 1
            if self._to is not None:
                with suppress(ConnectionRefusedError):  # while the relay is dead
                    self._socket.sendto(raw, self._to)


class CopyTap(Accepting):
    """Takes nginx's copies on the split's socket and gives each ``times(id)`` times to the relay's own. A context."""

    def __init__(self, path: Path, relay: Path, times: Callable[[str], int]) -> None:
        super().__init__(path)
        self._relay, self._times = str(relay), times

    def _serve(self, link: socket.socket) -> None:
        with link, socket.socket(socket.AF_UNIX) as relay, suppress(OSError):
            relay.connect(self._relay)
            buffer = b""
            while data := link.recv(65536):
                *heads, buffer = (buffer + data).split(b"\r\n\r\n")
                for head in heads:
                    found = _ID.search(head + b"\r\n")
                    assert found is not None
                    times = self._times(found[1].decode())
                    relay.sendall((head + b"\r\n\r\n") * times)
                    answered = 0
                    while answered < times:
                        answered += relay.recv(65536).count(b"\r\n\r\n")
                    link.sendall(ANSWER)
