"""The file of a recording as it is written: bounded, private, never half a line more than a kill leaves behind.

Gzipped, every batch is a member of its own: what was written can be read, whatever ended the writer.
"""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.record.lines import header_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from darktime.split.record.lines import Header

MAX_BYTES: Final = 268_435_456
PACKED: Final = ".gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLimits:
    """When a recording ends by itself: bytes of its file, requests, seconds since it began."""

    bytes: int = MAX_BYTES
    requests: int = 1_000_000
    seconds: float = 86_400.0


class RecordingFile:
    """Makes the file, 0600, and its folder, 0700, where that is not there. Raises UsageError.

    ``stopped``: why nothing more is written, None while there is room. ``bytes``: how much was.
    """

    def __init__(self, path: Path, header: Header, *, max_bytes: int) -> None:
        self.stopped: str | None = None
        self.bytes = 0
        self._max_bytes = max_bytes
        self._packed = path.suffix == PACKED
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise UsageError(f"the recording {path} is there already: name another file, or move that one") from error
        except OSError as error:
            raise UsageError(
                f"the recording {path}: {error.strerror}; name a file in a folder you may write"
            ) from error
        if not self.write([header_line(header)]):
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise UsageError(f"the recording {path} cannot begin: {self.stopped}; make room, or raise --max-bytes")

    def write(self, lines: Sequence[bytes]) -> int:
        """Append whole lines, and give how many were: fewer where the room ended, and then nothing more ever."""
        if self.stopped is not None:
            return 0
        fitting = list(lines)
        if not self._packed:
            left = self._max_bytes - self.bytes
            for number, line in enumerate(lines):
                left -= len(line)
                if left < 0:
                    fitting = list(lines[:number])
                    break
        raw = b"".join(fitting)
        raw = gzip.compress(raw, mtime=0) if self._packed else raw
        if self.bytes + len(raw) > self._max_bytes:
            fitting, raw = [], b""
        if len(fitting) < len(lines):
            self.stopped = f"it has its {self._max_bytes:,} bytes"
        return len(fitting) if self._append(raw) else 0

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def _append(self, raw: bytes) -> bool:
        rest = memoryview(raw)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self.stopped = f"it cannot be written ({error.strerror})"
            with suppress(OSError):  # a part of a line stays: readers know
                os.ftruncate(self._fd, self.bytes)
            return False
        self.bytes += len(raw)
        return True
