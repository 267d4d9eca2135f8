"""A server for tests of uploads: it keeps each request's head and body, and tells how far one has come that still comes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.darktime.split.accepting import Accepting

if TYPE_CHECKING:
    import socket
    import ssl
    from pathlib import Path


@dataclass
class Taken:
    """One request. ``body`` grows while it comes; ``whole`` once it has ended."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False


class Taker(Accepting):
    """Answers each request with ``answer`` once its body has come; on TCP, or with ``path`` on a unix socket.

    ``answers=False``: it takes everything and says nothing. ``hangs_up``: it ends the connection instead of an answer.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        answers: bool = True,
        hangs_up: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(path)
        self._answer = b"HTTP/1.1 204 No Content\r\n\r\n" if path else answer
        self._answers, self._hangs_up = answers, hangs_up
        self._tls = tls
        self.taken: list[Taken] = []

    def _serve(self, link: socket.socket) -> None:
        if self._tls is not None:
            with suppress(OSError):
                link = self._tls.wrap_socket(link, server_side=True)
            self._links.append(link)
        with link, suppress(OSError, EOFError), link.makefile("rb") as raw:
            while one := self._take(raw):
                if self._hangs_up:
                    return
                if self._answers:
                    head, end, _ = self._answer.partition(b"\r\n\r\n")
                    link.sendall(head + end if one.method == "HEAD" else self._answer)

    def _take(self, raw) -> Taken | None:
        first = raw.readline().decode("latin-1").split(" ")
        if len(first) != 3:
            return None
        headers = {}
        while line := raw.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        one = Taken(first[0], first[1], headers)
        self.taken.append(one)
        if headers.get("transfer-encoding") == "chunked":
            while size := int(raw.readline(), 16):
                self._part(raw, one, size)
                raw.readline()
            raw.readline()
        else:
            self._part(raw, one, int(headers.get("content-length", "0")))
        one.whole = True
        return one

    def _part(self, raw, one: Taken, size: int) -> None:
        while size:
            piece = raw.read1(min(size, 1 << 20))
            if not piece:
                raise EOFError
            one.body += piece
            size -= len(piece)
