"""``python -m darktime.blast.canary ADDRESS PATH PARENT``: an independent prober, some requests a second, in its own process.

If the cohort's answers are slow and the canary's are not, the generator is the suspect. It shares nothing with the cohort
but the instance: blocking sockets, no gevent, one connection. ADDRESS is the address as JSON. A line a request on
stdout: ``SECONDS MICROSECONDS`` (UTC; -1 for a failure).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time

from darktime.blast.settings import Address
from darktime.blast.tls import context_of, server_name

RATE_PER_S = 10.0
TIMEOUT_S = 5.0
_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Probe until it is ended."""
    address, path, parent = Address(**json.loads(argv[0])), argv[1], int(argv[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: darkesttime-canary\r\nX-Darktime: 1\r\n\r\n"
    )
    link: socket.socket | None = None
    due = time.monotonic()
    while True:
        time.sleep(max(due - time.monotonic(), 0))
        began = time.monotonic()
        try:
            if link is None:
                link = _connected(address)
            link.sendall(request.encode("ascii"))
            ok = _read(link)
        except OSError:
            ok = False
        took_us = int((time.monotonic() - began) * 1e6) if ok else -1
        if not ok and link is not None:
            link.close()
            link = None
        sys.stdout.write(f"{time.time():.3f} {took_us}\n")
        sys.stdout.flush()
        # Planned ahead, but never in a burst: it watches, it does not load.
        due = max(due + 1 / RATE_PER_S, time.monotonic())


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


def _read(link: socket.socket) -> bool:
    """One whole reply of known length below 400."""
    reply = b""
    while b"\r\n\r\n" not in reply:
        received = link.recv(65_536)
        if not received:
            return False
        reply += received
    head, _, body = reply.partition(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    length = next((int(field[15:]) for field in fields if field.startswith(b"content-length:")), None)
    if length is None:
        return False
    left = length - len(body)
    while left > 0:
        received = link.recv(65_536)
        if not received:
            return False
        left -= len(received)
    return head[9:10] in (b"2", b"3")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # whoever listened has gone
        os._exit(0)
