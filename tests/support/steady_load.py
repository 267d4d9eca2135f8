"""A steady load from kept connections, as a process of its own; each time is measured from when its request was due.

``python -m tests.support.steady_load HOST:PORT --rate 500 --seconds 10 --connections 50``. Requests take the connections
in turn; one that finds none free waits, and its waiting counts. Once all are connected it prints ``ready at T`` (monotonic
seconds, the first request's time), at the end one line of JSON: what became of each request, in order.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_LEAD_S = 0.1
NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``due_s``: after the first. ``took_s``: from then to the answer's last byte. ``status`` 0: the connection ended instead."""

    due_s: float
    took_s: float
    status: int


class Link:
    """One kept connection, with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()
        self.number = -1
        self._buffer = b""

    def ask(self, number: int, request: bytes) -> None:
        self.number = number
        self.sock.send(request)

    def status(self) -> int | None:
        """Of the answer once it is whole; None before, 0 when there will be none."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return None if data else 0
        length = _LENGTH.search(head)
        wanted = int(length[1]) if length else 0
        if len(body) < wanted:
            return None if data else 0
        self._buffer = body[wanted:]
        return int(head[9:12])


class Load:
    """The load itself."""

    def __init__(self, options: argparse.Namespace) -> None:
        host, _, port = options.address.rpartition(":")
        self._options = options
        self._links = {}
        self._epoll = select.epoll()
        for _ in range(options.connections):
            link = Link((host, int(port)))
            self._links[link.fd] = link
            self._epoll.register(link.fd, select.EPOLLIN)
        self._count = round(options.rate * options.seconds)
        self._took = [NEVER] * self._count
        self._status = [0] * self._count
        self._free = deque(self._links.values())
        self._began = 0.0
        self._open = 0
        self.closed = 0

    def _request(self, number: int) -> bytes:
        options = self._options
        user = number % options.users
        path = options.path.replace("%", str(number))
        return f"GET {path} HTTP/1.1\r\nHost: site.example\r\nCookie: uid=u{user}\r\n\r\n".encode()

    def run(self) -> None:
        """Until each request was answered, or has waited for too long."""
        self._began = time.monotonic() + _LEAD_S
        say(f"ready at {self._began}")
        waiting: deque[int] = deque()
        rate, count, given = self._options.rate, self._count, 0
        limit = self._began + self._options.seconds + PATIENCE_S
        while given < count or waiting or self._open:
            now = time.monotonic()
            if now > limit:
                return
            while given < count and self._began + given / rate <= now:
                waiting.append(given)
                given += 1
            while waiting and self._free:
                self._ask(waiting.popleft())
            if not self._links:
                return
            # Epoll's own time is in milliseconds.
            pause_s = self._began + given / rate - time.monotonic() if given < count else 0.1
            if select.select([self._epoll], [], [], max(0.0, pause_s))[0]:
                for fd, _ in self._epoll.poll(0):
                    self._read(self._links[fd])

    def _ask(self, number: int) -> None:
        link = self._free.popleft()
        try:
            link.ask(number, self._request(number))
        except OSError:
            self._drop(link)
            return
        self._open += 1

    def _read(self, link: Link) -> None:
        status = link.status()
        if status is None:
            return
        if link.number >= 0:
            self._open -= 1
            due_s = link.number / self._options.rate
            self._took[link.number] = time.monotonic() - self._began - due_s
            self._status[link.number] = status
        if status:
            link.number = -1
            self._free.append(link)
        else:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        self.closed += 1
        self._epoll.unregister(link.fd)
        del self._links[link.fd]
        if link in self._free:
            self._free.remove(link)
        link.sock.close()

    def told(self) -> str:
        took = [round(one, 6) for one in self._took]
        return json.dumps({"took": took, "status": self._status, "closed": self.closed})


class SteadyLoad:
    """One such process, begun; ``began``: monotonic seconds of its first request. A context, which ends it."""

    def __init__(
        self,
        address: str,
        *,
        rate: float,
        seconds: float,
        connections: int = 10,
        users: int = 1,
        path: str = "/page",
    ) -> None:
        self.rate = rate
        self._lines: list[str] = []
        words = ["--rate", rate, "--seconds", seconds, "--connections", connections, "--users", users, "--path", path]
        argv = [sys.executable, "-m", "tests.support.steady_load", address, *map(str, words)]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first.startswith("ready at "), first
        self.began = float(first.split()[-1])
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._limit_s = seconds + PATIENCE_S + 10

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()

    def running(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def now_s(self) -> float:
        """Seconds since its first request was due."""
        return time.monotonic() - self.began

    def until(self, seconds: float) -> None:
        """Wait until so long after its first request; the load's own clock is what is waited for."""
        while (left := seconds - self.now_s()) > 0 and self.running():
            time.sleep(min(left, 0.5))

    def answers(self) -> list[Answer]:
        """What became of each request, once all have; no connection may have been closed by the other side."""
        return self.told(closed=0)

    def told(self, *, closed: int) -> list[Answer]:
        """The same where so many connections were."""
        assert self._process.wait(self._limit_s) == 0
        self._reader.join()
        told = json.loads(self._lines[-1])
        assert told["closed"] == closed, f"{told['closed']} connections were closed"
        return [
            Answer(number / self.rate, took, status)
            for number, (took, status) in enumerate(zip(told["took"], told["status"], strict=True))
        ]

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines += list(self._process.stdout)
        self._process.stdout.close()


def failed(answers: Iterable[Answer]) -> list[Answer]:
    """Those that were not answered with 200."""
    return [one for one in answers if one.status != 200]


def percentile(answers: Iterable[Answer], share: float) -> float:
    """Seconds in which that share of the requests was answered."""
    took = sorted(one.took_s if one.status else PATIENCE_S for one in answers)
    return took[min(len(took) - 1, int(share * len(took)))]


def say(line: str) -> None:
    """To whoever began this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make the load."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--users", type=int, default=1, help="each request is one of so many, in turn")
    parser.add_argument("--path", default="/page", help="%% becomes the request's number")
    load = Load(parser.parse_args())
    gc.freeze()
    gc.disable()
    load.run()
    say(load.told())


if __name__ == "__main__":
    main()
