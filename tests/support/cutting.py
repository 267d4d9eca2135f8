"""A TCP proxy that cuts a connection: in a request after so many bytes, before the reply, or without telling its ends."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

LIMIT_S = 10.0


class Cutter:
    """Stands before ``target`` on a port of its own. Until it is told to cut, everything passes."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.cuts = 0
        self._target = target
        self._request_left: int | None = None
        self._reply = False
        self._accepted = self._forgotten = 0
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut_request_after(self, count: int) -> None:
        """The next connection that asks something gets so many bytes of it through."""
        self._request_left = count

    def cut_reply(self) -> None:
        """The next reply does not arrive, though the request did."""
        self._reply = True

    def forget_connections(self) -> None:
        """Those there are stay open, and nothing passes them any more; new ones do."""
        self._forgotten = self._accepted

    def close(self) -> None:
        """End it; open connections end with it."""
        self._closing = True
        # accept() does not notice that another thread closes its socket, and a client that comes back just now
        # may be in its hands: the listener is closed once nobody accepts from it.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            self._thread.join(LIMIT_S)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            try:
                server = socket.create_connection(self._target, LIMIT_S)
            except OSError:
                client.close()
                continue
            self._accepted += 1
            for source, sink, upwards in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, sink, upwards, self._accepted), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, upwards: bool, number: int) -> None:  # noqa: FBT001
        with suppress(OSError):
            while chunk := source.recv(65536):
                if number <= self._forgotten:
                    continue
                if upwards and self._request_left is not None:
                    part, self._request_left = chunk[: self._request_left], None
                    sink.sendall(part)
                    self.cuts += 1
                    break
                if not upwards and self._reply:
                    self._reply = False
                    self.cuts += 1
                    break
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
