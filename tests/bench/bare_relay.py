"""A relay that knows nothing: the system calls of a copy's way, and no logic between them. What no relay in Python is below.

It reads copies, answers them, sends the same bytes on, reads replies and log lines. ``pace_s``: 0, each is read as it comes; else
replies and lines are read together, that often.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from pathlib import Path

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
REQUEST = (
    b"GET /thread/1?page=0123456789abcdef HTTP/1.1\r\nHost: www.example.org\r\nAccept: text/html,application/xhtml+xml\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"X-Darktime: 1\r\ntraceparent: 00-00000000000000000000000000000000-0000000000000000-01\r\n\r\n"
)


def main(path: str, log_port: int, dark_port: int, pace_s: float) -> None:
    """Run until the process is ended."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lines.bind(("127.0.0.1", log_port))
    lines.setblocking(False)
    prompt = select.epoll()
    later = prompt if not pace_s else select.epoll()
    prompt.register(listener, select.EPOLLIN)
    later.register(lines, select.EPOLLIN)
    fronts: dict[int, socket.socket] = {}
    darks: dict[int, socket.socket] = {}
    idle: list[socket.socket] = []
    for _ in range(64):
        dark = socket.create_connection(("127.0.0.1", dark_port))
        dark.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dark.setblocking(False)
        darks[dark.fileno()] = dark
        idle.append(dark)
        later.register(dark, select.EPOLLIN)
    print("relay on", path, flush=True)
    looked = time.monotonic()
    while True:
        ready = prompt.poll(pace_s or 1.0)
        now = time.monotonic()
        if pace_s and now - looked >= pace_s:
            looked = now
            ready += later.poll(0)
        for fd, _ in ready:
            front = fronts.get(fd)
            if front is not None:
                if not front.recv(65536):
                    prompt.unregister(fd)
                    fronts.pop(fd).close()
                    continue
                front.send(ANSWER)
                if idle:
                    idle.pop().send(REQUEST)
            elif fd == lines.fileno():
                try:
                    while pace_s:
                        lines.recv(65536)
                    lines.recv(65536)
                except BlockingIOError:
                    pass
            elif fd == listener.fileno():
                link, _ = listener.accept()
                link.setblocking(False)
                fronts[link.fileno()] = link
                prompt.register(link, select.EPOLLIN)
            else:
                darks[fd].recv(65536)
                idle.append(darks[fd])


if __name__ == "__main__":
    Path(sys.argv[1]).unlink(missing_ok=True)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
