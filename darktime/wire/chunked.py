"""Chunked transfer coding, incremental: frames in, body bytes out, split anywhere. Pure."""

from __future__ import annotations

import re

from darktime.wire.errors import WireError

MAX_LINE = 4096  # a chunk's size line or one trailer line
MAX_TRAILERS = 65_536

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00\r\n]*)?\r\n")
_SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedDecoder:
    """One reply's body. After ``done``, ``rest`` holds what came behind it (the next reply)."""

    __slots__ = ("_kept", "_left", "_state", "_trailer_bytes", "done", "rest")

    def __init__(self) -> None:
        self._kept = b""  # the beginning of a line that has not arrived whole
        self._left = 0  # bytes missing of the current chunk
        self._state = _SIZE_LINE
        self._trailer_bytes = 0
        self.done = False
        self.rest = b""

    @property
    def at_border(self) -> bool:
        """Every chunk so far has come whole, and nothing of another."""
        return self._state == _SIZE_LINE and not self._kept

    def feed(self, data: bytes) -> list[bytes]:
        """The body's pieces in ``data``. Raises WireError for a size that is none, and for a line without end."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        pieces: list[bytes] = []
        at = 0
        size = len(data)
        while at < size and not self.done:
            if self._state == _DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if piece:
                    pieces.append(piece)
                if self._left == 0:
                    self._state = _DATA_END
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._keep(data[at:])
                return pieces
            self._line(data[at : end + 1])
            at = end + 1
        if self.done:
            self.rest = data[at:]
        return pieces

    def _keep(self, part: bytes) -> None:
        limit = 1 if self._state == _DATA_END else MAX_LINE
        if len(part) > limit or (self._state == _DATA_END and part != b"\r"):
            raise WireError(
                f"expected the end of a line in chunked coding, read {len(part)} bytes without: {part[:40]!r}"
            )
        self._kept = part

    def _line(self, line: bytes) -> None:
        if self._state == _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if match is None or len(line) > MAX_LINE:
                raise WireError(f"expected the size of a chunk in hexadecimal, read {line[:40]!r}")
            self._left = int(match[1], 16)
            self._state = _DATA if self._left else _TRAILERS
        elif self._state == _DATA_END:
            if line != b"\r\n":
                raise WireError(f"expected CRLF behind a chunk, read {line[:40]!r}")
            self._state = _SIZE_LINE
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILERS:
                raise WireError(f"trailers of more than {MAX_TRAILERS} bytes")
            if line in (b"\r\n", b"\n"):
                self._state = _DONE
                self.done = True
