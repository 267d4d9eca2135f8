"""A listener of a test whose every connection has a thread of its own, and that leaves none behind."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_WAITING = 512  # connections that nobody has accepted yet


class Accepting(ABC):
    """Listens on TCP, or with ``path`` on a unix socket, and gives each connection to ``_serve``. A context.

    Connections wait until the context is entered; when it is left they are ended, and each thread with them.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listener.bind(str(path) if path else ("127.0.0.1", 0))
        self._listener.listen(_WAITING)
        self.address = "" if path else f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._links: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()  # from here on there are no more of them
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @abstractmethod
    def _serve(self, link: socket.socket) -> None:
        """Serve one connection to its end, in a thread of its own, and close it."""

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._links.append(link)
            self._threads.append(threading.Thread(target=self._serve, args=(link,)))
            self._threads[-1].start()
