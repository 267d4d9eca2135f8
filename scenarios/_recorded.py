"""The requests of a file that is replayed, and when they came: a recording, or an access log. Its first line tells which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from darktime.blast.access_log import read_log
from darktime.blast.sources import request
from darktime.split.record.lines import MARKER, MAX_LINE
from darktime.split.record.outgoing import choose, request_bytes
from darktime.split.record.reader import read
from darktime.split.record.unpack import Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from darktime.blast.settings import Address
    from darktime.split.record.lines import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """``at_s``: since the first of them. ``asked`` makes the request's bytes."""

    at_s: float
    asked: Callable[[Address], bytes]


def read_came(raw: bytes, methods: Collection[str], *, speed: float) -> tuple[list[Came], int]:
    """The requests by ``methods`` in order of time, ``speed`` times as fast, and how many lines were left out.

    Raises ValueError, or UsageError, where nothing is left.
    """
    if not speed > 0:
        raise ValueError(f"at speed={speed:g}: it must be above 0")
    first = next(iter(Unpacked([raw], max_line=MAX_LINE)), None)
    if first is None or f'"{MARKER}"'.encode() not in first:
        found, left_out = read_log(raw.decode("utf-8"), methods, speed=speed)
        return [
            Came(at_s=one.at_s, asked=partial(request, method=one.method, path=one.path)) for one in found
        ], left_out
    recording = read([raw])
    chosen = choose(recording.requests, methods=frozenset(methods))
    if not chosen.requests:
        raise ValueError(f"none of its {len(recording.requests):,} requests is by {' or '.join(sorted(methods))}")
    came = [
        Came(at_s=at_s, asked=partial(_asked, one))
        for at_s, one in zip(chosen.times_s(speed), chosen.requests, strict=True)
    ]
    return came, recording.garbage + sum(chosen.left_out.values())


def _asked(recorded: Recorded, address: Address) -> bytes:
    return request_bytes(recorded, address.authority, keep_host=False)
