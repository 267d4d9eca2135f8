"""``python -m darktime.blast.canary PARENT``: an independent prober, some requests a second, in its own process.

If the cohort's answers are slow and the canary's are not, the generator is the suspect. It shares nothing with the cohort
but the instance: blocking sockets, no gevent, one connection. What it asks for stands on stdin, since a header may hold a
secret: a line of JSON with ``address``, ``path`` and ``headers``; each line after it is a number, how many a second it is
to ask from then on (0: none); where stdin ends, it ends, with the request that is under way. A line a request on stdout:
``SECONDS MICROSECONDS`` (UTC; -1 for a failure).
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import select
import signal
import socket
import sys
import time

from darktime.blast.settings import Address
from darktime.blast.sources import get
from darktime.blast.tls import context_of, server_name
from darktime.wire.errors import WireError
from darktime.wire.http1 import ResponseReader

RATE_PER_S = 10.0
TIMEOUT_S = 5.0
AGENT = {"User-Agent": "darkesttime-canary"}
_OK_BELOW = 400
_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Probe until stdin ends."""
    parent = int(argv[0])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = Told()
    asked = json.loads(told.line())
    address = Address(**asked["address"])
    request = get(address, asked["path"], AGENT | asked["headers"])
    link: socket.socket | None = None
    last = -math.inf
    while told.until(last):
        began = time.monotonic()
        ok = keep = False
        try:
            if link is None:
                link = _connected(address)
            link.sendall(request)
            ok, keep = _read(link, began + TIMEOUT_S)
        except (OSError, WireError):
            pass
        took_us = int((time.monotonic() - began) * 1e6) if ok else -1
        if not keep and link is not None:
            link.close()
            link = None
        sys.stdout.write(f"{time.time():.3f} {took_us}\n")
        sys.stdout.flush()
        # Planned ahead, but never in a burst: it watches, it does not load.
        last = max(last + told.interval_s, began) if math.isfinite(told.interval_s) else began
    return 0


class Told:
    """What is said on stdin: a first line, then how many requests a second there are to be."""

    def __init__(self) -> None:
        self.interval_s = 1 / RATE_PER_S
        self._rest = b""
        self._open = True

    def line(self) -> bytes:
        """The next line; what there is of it at the end of stdin."""
        while b"\n" not in self._rest and self._open:
            self._read()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def until(self, last_s: float) -> bool:
        """Wait until the next request is due, the one before having been due at ``last_s``; a new pace counts at once.

        False where there is to be none: stdin has ended.
        """
        while self._open:
            left_s = max(0.0, last_s + self.interval_s - time.monotonic())
            if not select.select([sys.stdin.fileno()], [], [], left_s if math.isfinite(left_s) else None)[0]:
                return True
            self._read()
            while b"\n" in self._rest:
                rate_per_s = float(self.line())
                self.interval_s = 1 / rate_per_s if rate_per_s > 0 else math.inf
        return False

    def _read(self) -> None:
        part = os.read(sys.stdin.fileno(), 65_536)
        self._open = bool(part)
        self._rest += part


def _connected(address: Address) -> socket.socket:
    link = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        link.settimeout(TIMEOUT_S)
        link.connect((address.ip, address.port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context_of(address).wrap_socket(link, server_hostname=server_name(address)) if address.tls else link
    except OSError:
        link.close()
        raise


def _read(link: socket.socket, until: float) -> tuple[bool, bool]:
    """One whole reply: whether its status is below 400, and whether the connection may be used again."""
    reader = ResponseReader(max_body=0)
    while time.monotonic() < until:
        received = link.recv(65_536)
        replies = reader.feed(received)
        if not received and (last := reader.eof()) is not None:
            replies = [last]
        if replies:
            return replies[0].status < _OK_BELOW, replies[0].keep_alive
        if not received:
            break
    return False, False


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # whoever listened has gone
        os._exit(0)
