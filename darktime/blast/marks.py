"""The marks that published events carry, and what a piece of a stream says by them. Pure.

A mark is a line of JSON of fixed width (spaces fill it, leading zeros would be no JSON): run, channel, publisher,
planned time in microseconds, and a number that rises by one a channel and publisher. Engines may wrap or prefix it: it
is found wherever it stands, also when it was written over several lines of data.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHANNELS = 100_000
MAX_PUBLISHERS = 1_000
_RETRY = re.compile(rb"^retry: ?([0-9]{1,15})$", re.MULTILINE)
_ID = re.compile(rb"^id(?:: ?([^\0\n]*))?$", re.MULTILINE)
NOTHING = -1
# Who writes the members a line each: as the stream has it, and as its data read.
_NEXT = rb",(?:\n(?:data: ?)?)?"
_CHUNK_FRAME = 4  # the line ends around a chunk


def body(run: bytes, channel: int, publisher: int, at_us: int, number: int) -> bytes:
    """What is published; always of the same length in one run."""
    return b'{"blast":"%s","c":%5d,"p":%3d,"at":%16d,"n":%10d}' % (run, channel, publisher, at_us, number)


class Mark(NamedTuple):
    """One event of ours that arrived."""

    channel: int
    publisher: int
    at_s: float  # planned, by the publisher's clock
    number: int


class Arrival:
    """What one read said, the same for every stream that it arrives on.

    ``first`` and ``next``: where all marks are of one channel and one publisher and count up by one, the first number
    and the one behind the last; else ``first`` is -1. ``last_id`` and ``retry_s`` are None where it says none.
    ``others_first``: for who reads, where the first number stands while ``first`` does not apply; -1 else.
    ``times``: when streams got it whose accounts it fits, by the clock; grows.
    """

    __slots__ = (
        "channel",
        "comments",
        "first",
        "last_id",
        "marks",
        "next",
        "others_first",
        "publisher",
        "retry_s",
        "size",
        "times",
    )

    def __init__(self, marks: list[Mark], last_id: bytes | None, retry_s: float | None, comments: int) -> None:
        self.marks = marks
        self.last_id = last_id
        self.retry_s = retry_s
        self.comments = comments
        self.size = 0
        self.times: list[float] = []
        self.channel = self.publisher = self.first = self.next = self.others_first = NOTHING
        if marks:
            channel, publisher, _, first = marks[0]
            if len(marks) == 1 or all(
                mark[0] == channel and mark[1] == publisher and mark[3] == at for at, mark in enumerate(marks, first)
            ):
                self.channel, self.publisher, self.first, self.next = channel, publisher, first, first + len(marks)


class Marks:
    """Reads the marks of one run."""

    def __init__(self, run: str) -> None:
        self._begin = b'"blast":"%b"' % run.encode("ascii")
        numbers = (rb'"c": *(\d{1,5})', rb'"p": *(\d{1,3})', rb'"at": *(\d{1,16})', rb'"n": *(\d{1,10})\}')
        members = (re.escape(self._begin), *numbers)
        mark = b",".join(members)
        self._find_whole = re.compile(mark).findall
        self._find_cut = re.compile(_NEXT.join(members)).findall  # the others too, but takes half as long again
        event = rb"(?:id: ?([^\0\r\n]*)\n)?data: ?\{" + mark + rb"\n\n"
        self._one_plain = re.compile(event).fullmatch
        self._one_chunk = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n" + event + rb"\r\n").fullmatch

    def one(self, raw: bytes, *, chunked: bool) -> tuple[bytes | None, int, int, float, int] | None:
        """Id, channel, publisher, planned time and number of the common case, one bare event; None for all else."""
        match = (self._one_chunk if chunked else self._one_plain)(raw)
        if match is None:
            return None
        if chunked:
            size, last_id, channel, publisher, at, number = match.groups()
            if int(size, 16) != len(raw) - len(size) - _CHUNK_FRAME:
                return None
        else:
            last_id, channel, publisher, at, number = match.groups()
        return last_id, int(channel), int(publisher), int(at) / 1e6, int(number)

    def read(self, text: bytes, comments: int) -> Arrival:
        """What whole events say (their ends of line are LF); ``comments`` are those between them."""
        marks = [Mark(int(c), int(p), int(at) / 1e6, int(n)) for c, p, at, n in self._find(text)]
        last_id: bytes | None = None
        if text.startswith(b"id") or b"\nid" in text:
            for match in _ID.finditer(text):
                last_id = match[1] or b""
        retry_s: float | None = None
        if b"retry" in text:
            for match in _RETRY.finditer(text):
                retry_s = int(match[1]) / 1000
        return Arrival(marks, last_id, retry_s, comments)

    def _find(self, text: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
        found: list[tuple[bytes, bytes, bytes, bytes]] = self._find_whole(text)
        return found if len(found) == text.count(self._begin) else self._find_cut(text)

    def numbers(self, data: str) -> list[int]:
        """The numbers that the data of an event carries: what the exact reader's events are compared by."""
        return [int(n) for _, _, _, n in self._find(data.encode())]
