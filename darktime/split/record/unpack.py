"""Lines out of the bytes of a file, gzipped or not, cut anywhere. Pure; what is too much is left out, never kept."""

from __future__ import annotations

import zlib
from itertools import chain
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GZIP: Final = b"\x1f\x8b"
_WBITS: Final = 31  # gzip's own frame
_PIECE: Final = 1_048_576
MOST_BYTES: Final = 4_294_967_296  # unpacked: a file of zeros may claim any size


class Unpacked:
    """Gives the lines of a file. Afterwards ``cut`` says whether the last one had no end, ``damage`` why it ended early."""

    def __init__(self, chunks: Iterable[bytes], *, max_line: int, most_bytes: int = MOST_BYTES) -> None:
        self._chunks = iter(chunks)
        self._max_line = max_line
        self._most_bytes = most_bytes
        self.cut = False
        self.damage = ""

    def __iter__(self) -> Iterator[bytes | None]:
        """Each line without its end; None for one that is longer than ``max_line``. Raises UsageError beyond all bounds."""
        rest, skipping, seen = b"", False, 0
        for piece in self._pieces():
            seen += len(piece)
            if seen > self._most_bytes:
                raise UsageError(f"it unpacks to more than {self._most_bytes:,} bytes: cut it into several files")
            *lines, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
            for line in lines:
                if skipping or len(line) > self._max_line:
                    skipping = False
                    yield None
                else:
                    yield line.removesuffix(b"\r")
            if len(rest) > self._max_line or (skipping and not lines):
                skipping, rest = True, b""
        if skipping or rest:
            self.cut = True
            yield None if skipping else rest

    def _pieces(self) -> Iterator[bytes]:
        first = next(self._chunks, b"")
        while len(first) < len(_GZIP) and (more := next(self._chunks, b"")):
            first += more
        if first.startswith(_GZIP):
            yield from self._gunzipped(first)
            return
        yield first
        yield from self._chunks

    def _gunzipped(self, first: bytes) -> Iterator[bytes]:
        """A file may be many members, one behind the other: what each was written in."""
        unzip, inside = zlib.decompressobj(_WBITS), False
        for chunk in chain((first,), self._chunks):
            data, pending = chunk, False
            while data or pending:
                try:
                    piece = unzip.decompress(data, _PIECE)
                except zlib.error:
                    self.damage = "what follows is no gzip"
                    return
                inside = True
                if piece:
                    yield piece
                if unzip.eof:
                    data, pending, inside = unzip.unused_data, False, False
                    unzip = zlib.decompressobj(_WBITS)
                else:
                    data, pending = unzip.unconsumed_tail, len(piece) == _PIECE
        if inside:
            self.damage = "its gzip ends in the middle"
