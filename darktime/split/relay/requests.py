"""Plain requests as anybody's mirror sends them, and which of them become copies. Pure but for what it is handed.

Every request is answered once it is whole, copied or not; the same gate as nginx's decides, then the same files.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from darktime.split.gate import without_content
from darktime.split.nginx_blocks import probe_path
from darktime.split.relay.copies import ANSWER, Arriving, Copy, NotACopy, Room
from darktime.split.settings import BODILESS
from darktime.wire.chunked import ChunkedDecoder
from darktime.wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from darktime.split.gate import Gate, Passed

_END: Final = b"\r\n\r\n"
_METHOD: Final = re.compile(r"[A-Z_-]{1,32}")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_LAST_ANSWER: Final = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Seen:
    """What came to the ear: ``requests`` in all; of those ``marked`` were copies themselves, and ``outside`` not sampled.

    ``looped``: the run's own probe came back, so the dark instance leads to where production's requests go.
    """

    requests: int = 0
    marked: int = 0
    outside: int = 0
    looped: bool = False


class Door:
    """What all connections share: the gate, whether a user is in now, the clock, room for bodies, the counts."""

    def __init__(
        self,
        gate: Gate,
        *,
        secret: str,
        let_in: Callable[[Passed], bool],
        clock: Callable[[], float],
        max_head: int,
        max_body: int,
        room: Room,
    ) -> None:
        self.gate = gate
        self.let_in = let_in
        self.clock = clock
        self.max_head = max_head
        self.max_body = max_body
        self.room = room
        self.seen = Seen()
        self._probe = probe_path(secret)

    def copy_of(self, method: str, target: str, headers: list[tuple[str, str]]) -> Copy | None:
        """The request as a copy; None where it is not to be copied, which is counted."""
        seen = self.seen
        seen.requests += 1
        # The probe's path says enough: who mirrors may have taken the mark off.
        seen.looped = seen.looped or target == self._probe
        if seen.looped or any(name.lower() == "x-darktime" and value for name, value in headers):
            seen.marked += 1
            return None
        passed = self.gate.passes(method, target, headers)
        if passed is None or not self.let_in(passed):
            seen.outside += 1
            return None
        return Copy(
            id=secrets.token_hex(16),
            at=self.clock(),
            user=passed.user,
            method=method,
            target=target,
            headers=passed.headers,
            stripped=passed.stripped,
            unfit=None,
        )


class RequestReader:
    """One a connection: bytes in, copies out. ``closing``: the peer wants no more. Raises NotACopy for what is no HTTP/1."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._buffer = b""
        self._arriving: Arriving | None = None
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self._answers = b""
        self._last = False
        self.closing = False

    @property
    def within(self) -> bool:
        """Whether a request has begun and not ended."""
        return bool(self._buffer or self._left or self._chunks is not None)

    def feed(self, data: bytes) -> list[Copy]:
        """Take bytes as they arrived; give the copies that they complete."""
        copies: list[Copy] = []
        while data and not self.closing:
            data = (
                self._take_body(data, copies)
                if self._left or self._chunks is not None
                else self._take_head(data, copies)
            )
        return copies

    def answer(self, _copies: list[Copy]) -> bytes:
        """What all requests that have ended since are to be answered."""
        answers, self._answers = self._answers, b""
        return answers

    def close(self) -> None:
        """The connection has ended: a body that has not come whole is let go."""
        if self._arriving is not None:
            self._arriving.drop()

    def _take_head(self, data: bytes, copies: list[Copy]) -> bytes:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_END)
        if end > self._door.max_head or (end < 0 and len(buffer) > self._door.max_head):
            raise NotACopy(f"a head of more than {self._door.max_head} bytes: {buffer[:80]!r}")
        if end < 0:
            self._buffer = buffer
            return b""
        self._buffer = b""
        method, target, version, headers = _head(buffer[:end].decode("latin-1"))
        framing = _framing(headers)
        self._last = version == "HTTP/1.0" or "close" in framing.get("connection", "")
        copy = self._door.copy_of(method, target, headers)
        length = _length(framing)
        self._arriving = None if copy is None else Arriving(copy, most=self._door.max_body, room=self._door.room)
        if length is None:
            self._chunks = ChunkedDecoder()
        elif length:
            self._left = length
        else:
            self._ended(copies)
        if length != 0 and framing.get("expect") == "100-continue":
            self._answers += _CONTINUE
        return buffer[end + len(_END) :]

    def _take_body(self, data: bytes, copies: list[Copy]) -> bytes:
        if self._chunks is not None:
            try:
                pieces = self._chunks.feed(data)
            except WireError as error:
                raise NotACopy(str(error)) from error
            rest = b""
            if self._chunks.done:
                rest, self._chunks = self._chunks.rest, None
        else:
            pieces = [data[: self._left]]
            rest = data[self._left :]
            self._left -= len(pieces[0])
        if self._arriving is not None and self._arriving.copy.method not in BODILESS:
            for piece in pieces:
                self._arriving.take(piece)
        if self._chunks is None and not self._left:
            self._ended(copies)
        return rest

    def _ended(self, copies: list[Copy]) -> None:
        if self._arriving is not None:
            copy = self._arriving.done()
            copies.append(copy if copy.body else replace(copy, headers=without_content(copy.headers)))
            self._arriving = None
        self.closing = self._last
        self._answers += _LAST_ANSWER if self._last else ANSWER


def _head(text: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    first, *lines = text.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not _METHOD.fullmatch(words[0]):  # noqa: PLR2004
        raise NotACopy(f"expected a request, read {first[:80]!r}")
    bare = text.replace("\r\n", "")
    if "\n" in bare or "\r" in bare or "\0" in text:
        raise NotACopy(f"expected lines that end as HTTP's do, read {first[:80]!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise NotACopy(f"expected a header, read {line[:80]!r}")
        headers.append((name, value.strip(" ")))
    return words[0], words[1], words[2], headers


def _framing(headers: list[tuple[str, str]]) -> dict[str, str]:
    framing: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        if low in framing and low in {"content-length", "transfer-encoding"}:
            raise NotACopy(f"expected one {name}, read another: {value[:40]!r}")
        framing[low] = value.lower()
    return framing


def _length(framing: dict[str, str]) -> int | None:
    """Bytes of body that follow; None: they come in chunks. Raises NotACopy for what could be read in two ways."""
    coding, told = framing.get("transfer-encoding"), framing.get("content-length")
    if coding is not None:
        if coding != "chunked" or told is not None:
            raise NotACopy(f"expected a body of one length, read {coding[:40]!r} and {told!r}")
        return None
    if told is None:
        return 0
    if not _LENGTH.fullmatch(told):
        raise NotACopy(f"expected the length of a body, read {told[:40]!r}")
    return int(told)
