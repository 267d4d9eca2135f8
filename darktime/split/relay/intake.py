"""The relay's two ears: the socket to which nginx sends copies, and the one to which it sends log lines."""

from __future__ import annotations

import shutil
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol

from darktime.errors import UsageError
from darktime.split.log_format import read_line
from darktime.split.relay import line_room
from darktime.split.relay.copies import NotACopy
from darktime.split.relay.lost_lines import Gap
from darktime.wire.poller import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from darktime.split.log_format import LogLine, OtherLine
    from darktime.split.relay.copies import Copy
    from darktime.wire.poller import Poller

_BACKLOG: Final = 1024
_READ_BYTES: Final = 65_536
_MOST_PEERS: Final = 1024
_MOST_UNREAD: Final = 65_536
_MOST_LINES: Final = 1000  # a turn: copies have their turn too
_LINE_BYTES: Final = 65_536
_NO_BURST: Final = 100  # lines: before the kernel runs out of room there are more
_SO_RXQ_OVFL: Final = 40
_COUNTED_TO: Final = 2**32


class Reader(Protocol):
    """What reads one connection: bytes in, copies out, and what is to be answered."""

    @property
    def closing(self) -> bool: ...  # noqa: D102
    def feed(self, data: bytes) -> list[Copy]: ...  # noqa: D102
    def answer(self, copies: list[Copy]) -> bytes: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def listen_unix(path: Path, owner: str | None = None) -> socket.socket:
    """Listen on a socket that only this user, or ``owner``, may use. Raises UsageError."""
    if path.is_socket():
        path.unlink()  # of a relay that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        if owner is not None:
            shutil.chown(path, owner)
        listener.listen(_BACKLOG)
    except (OSError, LookupError) as error:  # LookupError: nobody of that name
        listener.close()
        raise UsageError(f"the relay cannot listen on {path}: {error}; choose another --socket") from error
    return listener


class CopySocket:
    """Accepts connections and answers each copy at once."""

    def __init__(self, listener: socket.socket, poller: Poller, make_reader: Callable[[], Reader]) -> None:
        self._poller = poller
        self._make_reader = make_reader
        self._peers: dict[int, tuple[socket.socket, Reader]] = {}
        self._unread: dict[int, bytes] = {}
        self.strangers = 0
        self._listener = listener
        self._fd = listener.fileno()
        poller.register(self._fd, IN)

    def ready(self, fd: int, mask: int) -> list[Copy] | None:
        """A descriptor is ready: the copies that have come; None if it is none of ours."""
        if fd == self._fd:
            self._accept()
            return []
        peer = self._peers.get(fd)
        if peer is None:
            return None
        try:
            return self._read(fd, *peer, mask)
        except NotACopy:
            self.strangers += 1
            self._drop(fd)
        except OSError:
            self._drop(fd)
        return []

    def sweep(self, now: float) -> None:
        """Let go of who is silent for too long; nginx is trusted."""

    def close(self) -> None:
        """Stop listening; whoever is connected is let go."""
        for fd in list(self._peers):
            self._drop(fd)
        self._poller.unregister(self._fd)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # nobody left, or no descriptors left: nginx sheds to its sink
                return
            if len(self._peers) >= _MOST_PEERS:
                sock.close()
                continue
            sock.setblocking(False)
            self._peers[sock.fileno()] = (sock, self._make_reader())
            self._poller.register(sock.fileno(), IN)

    def _read(self, fd: int, sock: socket.socket, reader: Reader, mask: int) -> list[Copy]:
        if mask & OUT and fd in self._unread:
            self._answer(fd, sock, b"")
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            self._drop(fd)
            return []
        copies = reader.feed(data)
        answer = reader.answer(copies)
        if answer:
            try:
                self._answer(fd, sock, answer)
            except OSError:  # nginx has given up waiting; the copies are here all the same
                self._drop(fd)
        if reader.closing:
            self._drop(fd)
        return copies

    def _answer(self, fd: int, sock: socket.socket, answer: bytes) -> None:
        unread = self._unread.pop(fd, b"") if self._unread else b""
        waiting = unread + answer if unread else answer
        try:
            sent = sock.send(waiting)
        except BlockingIOError:
            sent = 0
        if sent == len(waiting) and not unread:
            return
        if sent < len(waiting):
            self._unread[fd] = waiting[sent:]
            if len(self._unread[fd]) > _MOST_UNREAD:
                raise NotACopy(f"{_MOST_UNREAD} bytes of answers were not read")
        if unread or fd in self._unread:
            self._poller.modify(fd, IN | OUT if fd in self._unread else IN)

    def _drop(self, fd: int) -> None:
        entry = self._peers.pop(fd, None)
        self._unread.pop(fd, None)
        if entry is not None:
            self._poller.unregister(fd)
            entry[1].close()
            entry[0].close()


class LineSocket:
    """Receives nginx's log lines, and counts what the kernel had no room for. ``port``: the one it got.

    ``room``: how many lines may wait; ``full``: more have come than were read at the last time.
    """

    def __init__(self, port: int, poller: Poller, secret: str, room_bytes: int = line_room.WANTED) -> None:
        self._secret = secret
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.room = line_room.take(self._socket, room_bytes)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise UsageError(f"log lines cannot come in on 127.0.0.1:{port}: {error.strerror}; free it") from error
        self.port: int = self._socket.getsockname()[1]
        self.fd = self._socket.fileno()
        poller.register(self.fd, IN)
        self._poller = poller
        self.lines = self.refused = self.lost = 0
        self.full = False

    def read(self) -> list[LogLine | OtherLine | Gap]:
        """The lines that are there, at most a thousand, and where some of them were lost.

        ``refused`` counts datagrams that are none of ours.
        """
        found: list[LogLine | OtherLine | Gap] = []
        gaps = 0
        secret, receive = self._secret, self._socket.recv
        try:
            for number in range(_MOST_LINES):
                if 0 < number < _NO_BURST and not self.full:
                    data = receive(_LINE_BYTES)
                else:
                    before = self.lost
                    data = self._told()
                    if self.lost != before:
                        found.append(Gap((self.lost - before) % _COUNTED_TO))
                        gaps += 1
                line = read_line(data, secret)
                if line is None:
                    self.refused += 1
                else:
                    found.append(line)
        except BlockingIOError:
            self.full = False
        else:
            self.full = True
        self.lines += len(found) - gaps
        return found

    def _told(self) -> bytes:
        """A line, and what the kernel had no room for before it."""
        data, ancillary, _, _ = self._socket.recvmsg(_LINE_BYTES, 64)
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                self.lost = struct.unpack("=I", value[:4])[0]
        return data

    def close(self) -> None:
        """Stop listening."""
        self._poller.unregister(self.fd)
        self._socket.close()
