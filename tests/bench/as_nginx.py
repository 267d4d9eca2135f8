"""Sends copies and log lines as nginx does: each at its planned time, over kept connections; one answer is awaited a copy."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from darktime.wire.poller import IN, Poller

if TYPE_CHECKING:
    from pathlib import Path

KEPT: Final = 32  # connections, as in nginx_blocks.relay_upstream
USERS: Final = 5_000
BROWSERS: Final = 200  # so many different ones
PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.1
# What a browser sends, of which nginx passes on what is allowed by default.
_COPY: Final = (
    "GET /thread/%d?page=%d HTTP/1.1\r\nHost: www.example.org\r\nX-Darktime: 1\r\nX-Darktime-Version: 1\r\n"
    "X-Darktime-Id: %s\r\nX-Darktime-At: %.3f\r\nX-Darktime-User: user-%d\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/128.0\r\n\r\n"
)
_LINE: Final = (
    '<190>Nov 26 00:00:00 darktime: {"v":1,"k":"%s","id":"%s","at":"%.3f","status":"200","type":"text/plain","bytes":"3",'
    '"took":"0.001","head":"0.001","up":"0.001","done":"OK","part":"b%03d","census":"","len":"3","enc":""}'
)


class AsNginx:
    """One front. ``sent`` counts what was taken; ``slowest_s`` is the longest that an answer took in the last ``send``."""

    def __init__(self, path: Path, log_port: int, secret: str) -> None:
        self._poller = Poller(cooperative=False)
        self._idle: list[socket.socket] = []
        self._links: dict[int, socket.socket] = {}
        for _ in range(KEPT):
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(path))
            link.setblocking(False)
            self._links[link.fileno()] = link
            self._idle.append(link)
            self._poller.register(link.fileno(), IN)
        self._lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._lines.connect(("127.0.0.1", log_port))
        self._secret = secret
        self._number = 0
        self.answers: list[float] = []

    @property
    def sent(self) -> int:
        """Copies."""
        return self._number

    def send(self, per_s: float, seconds: float) -> float:
        """Send at a steady rate; the rate that it became. Raises TimeoutError for a relay that does not answer."""
        begin = time.monotonic()
        out: dict[int, tuple[str, float, float]] = {}
        sent = 0
        self.answers = []
        now = begin
        while now - begin < seconds or out:
            now = time.monotonic()
            more = now - begin < seconds
            while more and self._idle and begin + sent / per_s <= now:
                link = self._idle.pop()
                out[link.fileno()] = self._copy(link)
                sent += 1
            due = begin + sent / per_s if more and self._idle else now + _LOOK_S
            for fd, _ in self._poller.poll(max(0.0, due - time.monotonic())):
                self._links[fd].recv(4096)
                request_id, at, since = out.pop(fd)
                self._idle.append(self._links[fd])
                self.answers.append(time.monotonic() - since)
                self._lines.send((_LINE % (self._secret, request_id, at, self._number % 1000)).encode())
            if now - begin > seconds + PATIENCE_S:
                raise TimeoutError(f"{len(out)} copies were not answered")
        return sent / (time.monotonic() - begin)

    def _copy(self, link: socket.socket) -> tuple[str, float, float]:
        self._number += 1
        number, at = self._number, time.time()
        request_id = f"{number:032x}"
        link.send((_COPY % (number % 3000, number % 7, request_id, at, number % USERS, number % BROWSERS)).encode())
        return request_id, at, time.monotonic()

    def close(self) -> None:
        """Hang up."""
        self._poller.close()
        for link in self._links.values():
            link.close()
        self._lines.close()
