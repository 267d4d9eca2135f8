"""A relay that knows nothing: the system calls of a copy's way, and no logic between them. No relay in Python costs less.

It reads copies, answers them, sends the same bytes on, reads replies and log lines. ``pace_s``: 0, each is read as it comes; else
replies and lines are read together, that often.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from contextlib import suppress

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
REQUEST = (
    b"GET /thread/1?page=0123456789abcdef HTTP/1.1\r\nHost: www.example.org\r\nAccept: text/html,application/xhtml+xml\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"X-Darktime: 1\r\ntraceparent: 00-00000000000000000000000000000000-0000000000000000-01\r\n\r\n"
)
LINKS = 64


class Bare:
    """Its sockets."""

    def __init__(self, path: str, log_port: int, dark_port: int, pace_s: float) -> None:
        self.pace_s = pace_s
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.lines.bind(("127.0.0.1", log_port))
        self.lines.setblocking(False)
        self.prompt = select.epoll()
        self.later = select.epoll() if pace_s else self.prompt
        self.prompt.register(self.listener, select.EPOLLIN)
        self.later.register(self.lines, select.EPOLLIN)
        self.fronts: dict[int, socket.socket] = {}
        self.darks: dict[int, socket.socket] = {}
        self.idle: list[socket.socket] = []
        for _ in range(LINKS):
            dark = socket.create_connection(("127.0.0.1", dark_port))
            dark.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dark.setblocking(False)
            self.darks[dark.fileno()] = dark
            self.idle.append(dark)
            self.later.register(dark, select.EPOLLIN)

    def run(self) -> None:
        """Until the process is ended."""
        looked = time.monotonic()
        while True:
            ready = self.prompt.poll(self.pace_s or 1.0)
            now = time.monotonic()
            if self.pace_s and now - looked >= self.pace_s:
                looked = now
                ready += self.later.poll(0)
            for fd, _ in ready:
                front = self.fronts.get(fd)
                if front is not None:
                    self.copy(front)
                elif fd in self.darks:
                    self.darks[fd].recv(65536)
                    self.idle.append(self.darks[fd])
                else:
                    self.other(fd)

    def copy(self, front: socket.socket) -> None:
        """One copy, or the end of a connection."""
        if not front.recv(65536):
            self.prompt.unregister(front)
            del self.fronts[front.fileno()]
            front.close()
            return
        front.send(ANSWER)
        if self.idle:
            self.idle.pop().send(REQUEST)

    def other(self, fd: int) -> None:
        """Lines, or somebody new."""
        if fd == self.lines.fileno():
            with suppress(BlockingIOError):
                self.lines.recv(65536)
                while self.pace_s:
                    self.lines.recv(65536)
            return
        link, _ = self.listener.accept()
        link.setblocking(False)
        self.fronts[link.fileno()] = link
        self.prompt.register(link, select.EPOLLIN)


if __name__ == "__main__":
    bare = Bare(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    sys.stdout.write(f"relay on {sys.argv[1]}\n")
    sys.stdout.flush()
    bare.run()
