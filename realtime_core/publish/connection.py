"""One kept connection to a box: requests go out together, replies are counted in order. Uses gevent's sockets."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gevent import socket

from realtime_core.publish.outcome import REFUSED, RESET
from realtime_core.publish.replies import ReplyError, ReplyReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.publish.replies import Reply

log = logging.getLogger(__name__)
READ_BYTES: Final = 65_536


class Connection:
    """Opened when needed, kept while the box lets it. For one greenlet at a time, which sets its own time limit."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: Any = None
        self.opened = 0  # how many connections were made so far

    def exchange(self, requests: Sequence[bytes], replies: list[Reply]) -> str | None:
        """Send the requests in one go and append the replies as they come, so that a time-out leaves those that came.

        A kept connection that turns out to be dead before anything was answered is replaced, once.

        Returns:
            Why it ended early, or None. Fewer replies than requests and None: the box closed after a reply, as it may;
            the rest was not looked at.
        """
        kept = self._usable()
        failure = self._attempt(requests, replies)
        if failure == RESET and kept and not replies:
            failure = self._attempt(requests, replies)
        return failure

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _usable(self) -> bool:
        """Whether a kept connection can carry on: open, and with nothing on it that nobody asked for."""
        if self._socket is None:
            return False
        self._socket.settimeout(0.0)
        try:
            self._socket.recv(1)
        except BlockingIOError:
            self._socket.settimeout(None)
            return True
        except OSError:
            pass
        self.close()  # ended by the box, or about to be: a 408 that comes unasked would pass for an answer
        return False

    def _attempt(self, requests: Sequence[bytes], replies: list[Reply]) -> str | None:
        if self._socket is None:
            try:
                self._socket = socket.create_connection((self._host, self._port))
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                self.close()
                log.debug("no connection to %s:%d: %s", self._host, self._port, error)
                return REFUSED
            self.opened += 1
        whole = False
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # what it answered before it went may still be read
                self._socket.sendall(b"".join(requests))
            whole = self._read(len(requests), replies)
        except (OSError, ReplyError) as error:
            log.debug("%s:%d: %s", self._host, self._port, error)
            return RESET
        finally:
            if not whole or not replies[-1].keep_alive:  # a time-out comes this way too
                self.close()
        if not whole and not (replies and not replies[-1].keep_alive):
            return RESET
        return None

    def _read(self, expected: int, replies: list[Reply]) -> bool:
        """Read until all replies are there (True), or the box ends the connection (False)."""
        reader = ReplyReader()
        while len(replies) < expected:
            received = self._socket.recv(READ_BYTES)
            if not received:
                last = reader.eof()
                if last is not None:
                    replies.append(last)
                return len(replies) == expected
            for reply in reader.feed(received):
                replies.append(reply)
                if not reply.keep_alive:
                    return len(replies) == expected
        return reader.idle
