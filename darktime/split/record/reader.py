"""Reads a recording, or an access log as one: requests in order of time, and what was wrong with the rest. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.record.lines import (
    MARKER,
    MAX_LINE,
    Answer,
    Header,
    NotALine,
    Recorded,
    read_header,
    read_line,
    sendable,
)  # fmt: skip
from darktime.split.record.unpack import Unpacked
from darktime.wire import access_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from darktime.split.record.lines import Headers

MOST_REQUESTS: Final = 2_000_000
MOST_GARBAGE: Final = 0.1  # of the lines; beyond, the file is another's, or broken
_NAMED: Final = 5
_MARK: Final = 8  # bytes
_LOGGED_HEADERS: Final = {"http_user_agent": "User-Agent"}


@dataclass(slots=True, kw_only=True)
class Recording:
    """What a file holds. ``header``: None of an access log. ``requests`` are in order of time, each id once.

    ``garbage`` counts the lines that are none; ``named`` has the number and the fault of the first of them.
    ``lines`` counts all that were read, ``cut`` says that the last had no end, ``damage`` why reading ended early.
    """

    header: Header | None = None
    requests: list[Recorded] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    lines: int = 0
    garbage: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)
    cut: bool = False
    damage: str = ""

    @property
    def span_s(self) -> float:
        """Seconds from the first request to the last."""
        return self.requests[-1].at - self.requests[0].at if self.requests else 0.0

    def refuse(self, number: int, why: str) -> None:
        """Count a line that is none."""
        self.garbage += 1
        if len(self.named) < _NAMED:
            self.named.append((number, why))


def read(chunks: Iterable[bytes]) -> Recording:
    """Read a file's bytes, as a recording or as an access log: its first line tells which.

    Raises UsageError where there is no request, for a recording of a version that is not read here, for one of which
    more than a tenth is garbage, and beyond the bounds of what is read.
    """
    lines, recording = Unpacked(chunks, max_line=MAX_LINE), Recording()
    logged: list[tuple[float, Recorded]] = []
    seen: set[str] = set()
    known: dict[Headers, Headers] = {}
    before = 0
    for number, line in enumerate(lines, 1):
        recording.lines, before = number, recording.garbage
        if number == 1 and line is not None and f'"{MARKER}"'.encode() in line[:MAX_LINE]:
            recording.header = _header(line)
        elif line is None:
            recording.refuse(number, f"it is longer than {MAX_LINE:,} bytes")
        elif not line.strip() or (recording.header is None and line.startswith(b"#")):
            continue
        elif len(seen) >= MOST_REQUESTS:
            raise UsageError(f"it holds more than {MOST_REQUESTS:,} requests: cut it into several files")
        elif recording.header is None:
            _take_logged(recording, logged, number, line)
        else:
            _take(recording, seen, known, number, line)
    recording.damage = lines.damage
    if lines.cut and recording.garbage > before:  # the writer was ended in the middle of it: no fault of the file's
        recording.cut, recording.garbage = True, before
        recording.named = recording.named[:before]
    if recording.header is None:
        recording.requests = _timed(logged)
    recording.requests.sort(key=lambda request: request.at)  # stable: of one time, in the order of their coming
    _check(recording)
    return recording


def _check(recording: Recording) -> None:
    said = "; ".join(f"line {number}: {why}" for number, why in recording.named)
    if not recording.requests:
        raise UsageError(
            f"none of its {recording.lines:,} lines is a request{f' ({said})' if said else ''}: "
            "name a recording, or an access log (combined, common or JSON)"
        )
    if recording.header is not None and recording.garbage > max(1, MOST_GARBAGE * recording.lines):
        raise UsageError(
            f"{recording.garbage:,} of its {recording.lines:,} lines are garbage, more than {MOST_GARBAGE:.0%} ({said}): "
            "take them out, or record again"
        )


def _header(line: bytes) -> Header:
    try:
        return read_header(line)
    except NotALine as error:
        raise UsageError(f"it begins as a recording, and its first line is none: {error}; record again") from error


def _take(recording: Recording, seen: set[str], known: dict[Headers, Headers], number: int, line: bytes) -> None:
    try:
        found, answer = read_line(line, known)
    except NotALine as error:
        recording.refuse(number, str(error))
        return
    if isinstance(found, str):
        if found not in seen or answer is None:
            recording.refuse(number, "it answers a request that did not come before")
            return
        recording.answers.setdefault(found, answer)
        return
    if found.id in seen:
        recording.refuse(number, "its id has come before")
        return
    seen.add(found.id)
    recording.requests.append(found)
    if answer is not None:
        recording.answers[found.id] = answer


def _take_logged(recording: Recording, logged: list[tuple[float, Recorded]], number: int, line: bytes) -> None:
    told = access_line.read_line(line.decode("utf-8", "surrogateescape"))
    if told is None:
        recording.refuse(number, "it is no request in any format that is read")
        return
    try:
        request = sendable(
            Recorded(
                at=0.0,
                id=f"{number:032x}",  # the line's number: whoever replays it again sends the same ids
                user=_mark(f"{told.client} {told.user}"),
                method=told.method,
                target="",
                headers=tuple((name, told.fields[key]) for key, name in _LOGGED_HEADERS.items() if key in told.fields),
            ),
            told.target.encode("utf-8", "surrogateescape"),
        )
    except NotALine as error:
        recording.refuse(number, str(error))
        return
    logged.append((told.at_s, request))
    if told.status is not None and 100 <= told.status <= 599:  # noqa: PLR2004 - HTTP's
        recording.answers[request.id] = Answer(status=told.status)


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_MARK).hexdigest()


def _timed(logged: list[tuple[float, Recorded]]) -> list[Recorded]:
    """Since the first of them; where the log knows whole seconds only, those of one second evenly over it."""
    if not logged:
        return []
    began = min(at for at, _ in logged)
    if not all(at.is_integer() for at, _ in logged):
        return [replace(request, at=at - began) for at, request in logged]
    of, given = Counter(at for at, _ in logged), Counter[float]()
    timed = []
    for at, request in logged:
        timed.append(replace(request, at=at - began + given[at] / of[at]))
        given[at] += 1
    return timed
