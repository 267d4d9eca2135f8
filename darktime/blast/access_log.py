"""Reads recorded requests from text: a list of requests, an access log, or seconds and requests. Pure.

An access log's times are whole seconds; what it holds of one second is spread evenly over that second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_METHOD = r"(?P<method>[A-Z]{1,16})"
_PATH = r"(?P<path>/[!-~]*)"
_LISTED = re.compile(rf"{_METHOD}\s+{_PATH}(?:\s+(?P<body>\S.*))?")
_FIELD = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*)")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_TIMED = re.compile(rf"(?P<at>\d{{1,12}}(?:\.\d{{1,9}})?)\s+{_METHOD}\s+{_PATH}")
_COMBINED = re.compile(
    rf'\S+ \S+ .{{1,256}}? \[(?P<when>\d\d/[A-Za-z]{{3}}/\d{{4}}:[\d:]{{8}} [+-]\d{{4}})\] "{_METHOD} {_PATH}(?: [^"]*)?"'
)
_WHEN = "%d/%b/%Y:%H:%M:%S %z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One request of a list; ``body`` is what stands behind its path, ``headers`` what is indented below it."""

    method: str
    path: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """``at_s``: since the first of them."""

    at_s: float
    method: str
    path: str


def read_list(text: str) -> list[Listed]:
    """``METHOD PATH [BODY]``, one a line, its headers ``NAME: VALUE`` indented below.

    Blank lines and those with # in front are no requests.
    Raises ValueError for a line that is none of these, and where there is no request.
    """
    requests: list[Listed] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        field = _FIELD.fullmatch(words) if line[0] in " \t" and requests else None
        if field is not None:
            if field["name"].lower() in _FRAMING:
                raise ValueError(f"line {number}: {field['name']} follows from the body; leave it out")
            last = requests[-1]
            requests[-1] = replace(last, headers=(*last.headers, (field["name"], field["value"])))
            continue
        found = _LISTED.fullmatch(words)
        if found is None:
            raise ValueError(
                f"line {number} is {words[:80]!r}: write METHOD PATH, as in GET /index.html, or NAME: VALUE indented below"
            )
        requests.append(Listed(method=found["method"], path=found["path"], body=found["body"] or ""))
    if not requests:
        raise ValueError("it holds no request: write METHOD PATH, as in GET /index.html")
    return requests


def read_log(text: str, methods: Iterable[str] = ("GET", "HEAD"), *, speed: float = 1.0) -> tuple[list[Recorded], int]:
    """The requests of an access log in combined format, or of ``SECONDS METHOD PATH`` lines, in order of time.

    And how many lines were left out: other methods, and what cannot be read. Times are ``speed`` times as fast.
    Raises ValueError where nothing is left, and for a speed not above 0.
    """
    if not speed > 0:
        raise ValueError(f"at speed={speed:g}: it must be above 0")
    wanted = frozenset(methods)
    timed: list[tuple[float, str, str]] = []
    whole: list[tuple[float, str, str]] = []
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        found = _TIMED.fullmatch(line.strip())
        if found is not None and found["method"] in wanted:
            timed.append((float(found["at"]), found["method"], found["path"]))
        elif found is None and (logged := _COMBINED.match(line)) is not None and logged["method"] in wanted:
            at_s = _seconds(logged["when"])
            if at_s is not None:
                whole.append((at_s, logged["method"], logged["path"]))
    kept = _sorted([*timed, *_spread(whole)])
    if not kept:
        names = " and ".join(sorted(wanted))
        raise ValueError(f"none of its {len(lines)} lines is a request by {names}: name a combined access log")
    began = kept[0][0]
    return [Recorded(at_s=(at - began) / speed, method=method, path=path) for at, method, path in kept], len(
        lines
    ) - len(kept)


def _seconds(when: str) -> float | None:
    try:
        return datetime.strptime(when, _WHEN).astimezone().timestamp()
    except ValueError:  # the 31st of February
        return None


def _spread(logged: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """What was logged in one second, evenly over it."""
    of: dict[float, int] = {}
    for at, _, _ in logged:
        of[at] = of.get(at, 0) + 1
    seen: dict[float, int] = {}
    spread = []
    for at, method, path in logged:
        spread.append((at + seen.get(at, 0) / of[at], method, path))
        seen[at] = seen.get(at, 0) + 1
    return spread


def _sorted(requests: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    return sorted(requests, key=lambda request: request[0])  # stable: of one time, in the order of the log
