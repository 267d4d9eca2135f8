"""Writes copies into a recording from a thread of its own: a disk that hangs or is full holds up nobody.

What waits for it is bounded; what falls out is counted, and so is everything after the recording has ended.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from darktime.split.record.file import RecordingFile, RecordLimits
from darktime.split.record.lines import MAX_LINE, Answer, Header, NotALine, answer_line, of_payload, request_line

if TYPE_CHECKING:
    from pathlib import Path

_EVERY_S: Final = 0.1
_BATCH: Final = 256  # lines a write
_WAITING: Final = 20_000
_WAITING_BYTES: Final = 33_554_432
_UNANSWERED: Final = 100_000
ANSWER_WAIT_S: Final = 3_660.0  # a stream's line comes after an hour at the most, and a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """Where a recording goes, what its header says, and when it ends by itself.

    ``began``: seconds UTC, where it is a part of one that several write; else it begins when it is made.
    """

    path: Path
    experiment: str
    key: str
    limits: RecordLimits = field(default_factory=RecordLimits)
    began: float | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    id: str
    at: float
    user: str
    payload: bytes


class Recorder:
    """Takes copies and answers from one thread. Made, its file is there, with its header; raises UsageError."""

    def __init__(self, settings: RecordSettings, *, began: float) -> None:
        self._limits = settings.limits
        self._began = began
        header = Header(experiment=settings.experiment, key=settings.key, began=began)
        self._file = RecordingFile(settings.path, header, max_bytes=settings.limits.bytes)
        self._path = settings.path
        self._waiting: deque[_Copy | tuple[str, Answer]] = deque()
        self._bytes_in = self._bytes_out = 0  # each counted by one thread
        self._unanswered: OrderedDict[str, float] = OrderedDict()  # since when, the oldest first
        self._given_up = 0
        self._settled: deque[tuple[str, bool]] = deque()
        self._never: OrderedDict[str, None] = OrderedDict()  # cannot be kept; nor can their answers
        self._taken = self._turned_away = self._unwritten = 0
        self._ended: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="recorder", daemon=True)
        self.requests = self.answers = self.headers_left_out = 0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def take(self, request_id: str, at: float, user: str, payload: bytes) -> None:
        """Record a copy: when its request began (seconds UTC), whose it is (a mark), what goes out."""
        if self._full(len(payload)):
            self._turned_away += 1
            self._settled.append((request_id, False))
            return
        self._taken += 1
        self._bytes_in += len(payload)
        self._waiting.append(_Copy(request_id, at, user, payload))
        self._await(request_id, time.monotonic())

    def _await(self, request_id: str, now: float) -> None:
        """Its answer may come; of many that never came the oldest is waited for no longer."""
        waiting = self._unanswered
        waiting[request_id] = now
        while len(waiting) > _UNANSWERED or now - next(iter(waiting.values())) > ANSWER_WAIT_S:
            waiting.popitem(last=False)
            self._given_up += 1

    def answered(self, request_id: str, answer: Answer) -> None:
        """Record production's answer to a copy that was taken."""
        if request_id in self._unanswered:
            del self._unanswered[request_id]
            self._waiting.append((request_id, answer))

    def unanswerable(self, request_id: str) -> None:
        """Nobody will know the answer to this one: its client went away."""
        self._unanswered.pop(request_id, None)

    def settled(self) -> list[tuple[str, bool]]:
        """The copies whose end is known since the last time: whether each is in the file."""
        return [self._settled.popleft() for _ in range(len(self._settled))]

    def state(self) -> dict[str, Any]:
        """How it stands, for whoever watches. ``stopped``: why it has ended, before it was told to."""
        return {
            "file": str(self._path),
            "requests": self.requests,
            "answers": self.answers,
            "answers_waiting": len(self._unanswered),
            "answers_given_up": self._given_up,
            "bytes": self._file.bytes,
            "left_out": self._turned_away + self._unwritten,
            "headers_left_out": self.headers_left_out,
            "stopped": self._ended or self._file.stopped,
        }

    def close(self, timeout_s: float) -> None:
        """Write what is left, as far as that can be done in time."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _full(self, size: int) -> bool:
        if self._ended is None and self._taken >= self._limits.requests:
            self._ended = f"it has its {self._limits.requests:,} requests"
        if self._ended is None and time.time() - self._began > self._limits.seconds:
            self._ended = f"it has had its {self._limits.seconds:g} seconds"
        if self._ended is not None or self._file.stopped is not None:
            return True
        return len(self._waiting) >= _WAITING or self._bytes_in - self._bytes_out + size > _WAITING_BYTES

    def _keep_writing(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_EVERY_S)
            while self._waiting:
                self._write([self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))])
        self._file.close()

    def _write(self, batch: list[_Copy | tuple[str, Answer]]) -> None:
        lines: list[bytes] = []
        owners: list[str | None] = []  # the copy that a line is of; None: an answer
        for one in batch:
            if not isinstance(one, _Copy):
                if one[0] in self._never:
                    del self._never[one[0]]
                    continue
                lines.append(answer_line(*one))
                owners.append(None)
                continue
            self._bytes_out += len(one.payload)
            line = self._line(one)
            if line is None:
                self._unwritten += 1
                self._never[one.id] = None
                if len(self._never) > _UNANSWERED:
                    self._never.popitem(last=False)
                self._settled.append((one.id, False))
            else:
                lines.append(line)
                owners.append(one.id)
        written = self._file.write(lines)
        for number, request_id in enumerate(owners):
            kept = number < written
            if request_id is None:
                self.answers += kept
                continue
            self.requests += kept
            self._unwritten += not kept
            self._settled.append((request_id, kept))

    def _line(self, copy: _Copy) -> bytes | None:
        try:
            request, headers_left_out = of_payload(copy.id, copy.at - self._began, copy.user, copy.payload)
        except NotALine:
            return None
        self.headers_left_out += headers_left_out
        line = request_line(request)
        return line if len(line) <= MAX_LINE else None
