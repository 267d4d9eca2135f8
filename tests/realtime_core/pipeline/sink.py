"""A push box that fails and is slow on command, and remembers when it said yes to what. In threads: the tests are not patched."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress

HEAD_END = b"\r\n\r\n"
PROBE = b"{}"  # what a worker asks with whether events are taken again: no job's


class Sink:
    """Answers ``status`` after ``delay_s``, all that arrived together at once; on a channel of ``statuses`` what stands there.

    While ``answering`` is not set it answers nothing. ``heard``: requests that have arrived, answered or not.
    ``taken``: job id → times of its 2xx.
    """

    def __init__(self, status: int = 200, delay_s: float = 0.0) -> None:
        self.status = status
        self.delay_s = delay_s
        self.statuses: dict[str, int] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.heard = 0
        self.asked = 0
        self.refused = 0
        self.taken: dict[str, list[float]] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.answering.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._listening.accept()
                self._links.append(link)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        buffer = b""
        with suppress(OSError):
            while received := link.recv(1_048_576):
                buffer += received
                bodies: list[tuple[str, bytes]] = []
                while (end := buffer.find(HEAD_END)) >= 0:
                    head = buffer[:end]
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                    start = end + len(HEAD_END)
                    if len(buffer) < start + length:
                        break
                    channel = head.split(b" ")[1].partition(b"id=")[2].decode()
                    bodies.append((channel, buffer[start : start + length]))
                    buffer = buffer[start + length :]
                if bodies:
                    self.heard += len(bodies)
                    self.answering.wait(30)
                    time.sleep(self.delay_s)
                    self._answer(link, bodies)

    def _answer(self, link: socket.socket, bodies: list[tuple[str, bytes]]) -> None:
        now = time.time()
        self.asked += len(bodies)
        answers = []
        for channel, body in bodies:
            status = self.statuses.get(channel, self.status)
            answers.append(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
            if status != 200:
                self.refused += 1
            elif body not in (b"", PROBE):
                self.taken.setdefault(json.loads(body)["job"], []).append(now)
        link.sendall(b"".join(answers))
