"""Writes histograms as an HdrHistogram log (``.hlog``, version 1.3; V2 encoding), which its tools of any language read.

Values are microseconds. An HdrHistogram of three digits divides its range as :mod:`darktime.blast.histogram` does, so
every count keeps its bucket and every percentile its value. Pure.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from darktime.blast.histogram import bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from darktime.blast.histogram import Histogram

DIGITS = 3
_COOKIE = 0x1C849303 | 0x10  # V2; the 0x10 says that counts are written as LEB128
_COMPRESSED_COOKIE = 0x1C849304 | 0x10
_HEADER = struct.Struct(">iiiiqqd")  # cookie, length, index offset, digits, lowest, highest, ratio of doubles
_COMPRESSED_HEADER = struct.Struct(">ii")
_LOWEST_US = 1
_RANGE_US = 1 << 32
_SEVEN_BITS = 0x7F
_MORE = 0x80
_LEB_BYTES = 9
_MS_US = 1000
_COLUMNS = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A histogram and when it was counted: ``start_s`` after the log's start, for ``length_s``.

    ``tag`` names what was timed ("latency", "service"); empty for a log of one thing. A tag with a comma, a blank or a
    line break raises ValueError: the format has no way to write one.
    """

    histogram: Histogram
    start_s: float
    length_s: float
    tag: str = ""

    def __post_init__(self) -> None:
        if any(char in ", \n\r\t" for char in self.tag):
            raise ValueError(f"tag {self.tag!r}: an .hlog cannot hold blanks or commas in it; write it with '-' or '_'")


def hlog(intervals: Iterable[Interval], *, started_s: float) -> str:
    """The whole log; ``started_s`` is the wall clock (seconds, UTC) that the intervals count from."""
    return "".join([opening(started_s), *map(line, intervals)])


def opening(started_s: float) -> str:
    """The lines that a log begins with."""
    when = datetime.fromtimestamp(started_s, UTC)
    lines = [
        "#[darkesttime blast: values are microseconds, Interval_Max is milliseconds]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {started_s:.3f} (seconds since epoch), {when:%a %b %d %H:%M:%S UTC %Y}]",
        _COLUMNS,
    ]
    return "\n".join(lines) + "\n"


def line(one: Interval) -> str:
    """The line of one interval."""
    tag = f"Tag={one.tag}," if one.tag else ""
    return f"{tag}{one.start_s:.3f},{one.length_s:.3f},{one.histogram.max_us / _MS_US:.3f},{encoded(one.histogram)}\n"


def encoded(histogram: Histogram) -> str:
    """One histogram in V2, compressed, in base64. What overflowed is counted at the maximum: none is left out."""
    counts = [(index, times) for index, times in histogram.buckets() if times]
    if histogram.overflow:
        counts.append((bucket_of(histogram.max_us), histogram.overflow))
    payload, at = bytearray(), 0
    for index, times in counts:
        if index > at:
            payload += _leb128(at - index)  # a negative number: so many empty buckets
        payload += _leb128(times)
        at = index + 1
    highest_us = max(_RANGE_US, histogram.max_us + 1)
    body = _HEADER.pack(_COOKIE, len(payload), 0, DIGITS, _LOWEST_US, highest_us, 1.0) + bytes(payload)
    packed = zlib.compress(body)
    return base64.b64encode(_COMPRESSED_HEADER.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode("ascii")


def _leb128(number: int) -> bytes:
    """ZigZag, then seven bits a byte, lowest first; a ninth byte holds eight."""
    left = (number << 1) ^ (number >> 63)
    written = bytearray()
    while len(written) < _LEB_BYTES - 1 and left > _SEVEN_BITS:
        written.append(left & _SEVEN_BITS | _MORE)
        left >>= 7
    written.append(left)
    return bytes(written)
