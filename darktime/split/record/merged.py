"""The recordings of several relays as one: each wrote its users', all count from the same moment.

Lines are taken as they are, those of the earliest requests first, an answer behind its request as it was.
"""

from __future__ import annotations

import gzip
import heapq
import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

from darktime.split.record.file import PACKED
from darktime.split.record.lines import MAX_LINE
from darktime.split.record.unpack import Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK: Final = 1_048_576
_AT: Final = re.compile(rb'\{"at":([0-9.]{1,20}),')


def part_of(path: Path, name: str) -> Path:
    """Where the relay of that name writes its part of a recording: beside it, packed as it is."""
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def merge_recordings(parts: Sequence[Path], whole: Path) -> None:
    """Write the recording that the parts make, whole or not at all, and remove them. The last line of one that was killed may go.

    Raises OSError: no room for it, or a file of its name has come up meanwhile; then the parts stay. UsageError: one of
    them is longer than can be read.
    """
    draft = whole.with_name(f"{whole.name}.new")
    draft.unlink(missing_ok=True)
    try:
        with ExitStack() as last:
            out = last.enter_context(os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"))
            packed = whole.suffix == PACKED
            writer = last.enter_context(gzip.GzipFile("", "wb", fileobj=out, mtime=0)) if packed else out
            found = [_lines(last.enter_context(part.open("rb"))) for part in parts if part.exists()]
            headers = [header for header in (next(lines, None) for lines in found) if header is not None]
            if headers:
                writer.write(headers[0] + b"\n")  # they say the same
            for _, line in heapq.merge(*map(_timed, found), key=lambda one: one[0]):
                writer.write(line + b"\n")
        os.link(draft, whole)  # never over a file that is there
    finally:
        draft.unlink(missing_ok=True)
    for part in parts:
        part.unlink(missing_ok=True)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, but for one that was cut."""
    unpacked = Unpacked(iter(lambda: file.read(_CHUNK), b""), max_line=MAX_LINE)
    before: bytes | None = None
    for line in unpacked:
        if before is not None:
            yield before
        before = line
    if before is not None and not unpacked.cut:
        yield before


def _timed(lines: Iterator[bytes]) -> Iterator[tuple[float, bytes]]:
    """Each line with the time of the last request before it: an answer has none of its own."""
    at = 0.0
    for line in lines:
        told = _AT.match(line)
        if told is not None:
            at = max(at, float(told[1]))
        yield at, line
