"""The file of pairs, read as it grows: whole lines only, each once, in pieces. Of the text nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from darktime.split.compare.pair_lines import PairLines

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.compare import Pair

_PIECE: Final = 4_194_304  # bytes


class PairsFile:
    """``read`` as often as wanted: what has been read is not read again. ``start``: bytes that are left out."""

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self.pairs: list[Pair] = []
        self._path = path
        self._read_to = start
        self._lines = PairLines()

    def read(self) -> list[Pair]:
        """All pairs there are by now; none where there is no file. A line that a full disk left no pair of is left out."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return self.pairs
        with file:
            file.seek(self._read_to)
            rest = b""
            while piece := file.read(_PIECE):
                whole, newline, rest = (rest + piece).rpartition(b"\n")
                if newline:
                    self._take(whole)
                    self._read_to += len(whole) + 1
        return self.pairs

    def _take(self, text: bytes) -> None:
        for line in text.split(b"\n"):
            try:
                self.pairs.append(self._lines.pair(line))
            except ValueError:
                continue
