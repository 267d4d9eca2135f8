"""The log lines that nginx sends the relay: how nginx writes one, how it is read. Pure; version 1.

It escapes quotes, backslashes and control characters only, and writes a number as ``-`` or as several: every field is
a string, and bytes that are no UTF-8 are kept as surrogates.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from realtime_core.quick_values import quickly_made

VERSION: Final = "1"
_FIELDS: Final = (
    ("id", "$request_id"), ("at", "$darktime_at"), ("status", "$status"), ("type", "$sent_http_content_type"),
    ("bytes", "$body_bytes_sent"), ("took", "$request_time"), ("head", "$upstream_header_time"),
    ("up", "$upstream_response_time"), ("done", "$request_completion"), ("part", "$darktime_drawn"),
    ("census", "$darktime_census"),
    ("len", "$sent_http_content_length"), ("enc", "$sent_http_content_encoding"),
)  # fmt: skip
_OTHERS: Final = (
    ("part", "$darktime_drawn"), ("census", "$darktime_census"), ("keyed", "$darktime_keyed"), ("status", "$status"),
    ("type", "$sent_http_content_type"), ("took", "$request_time"), ("up", "$upstream_response_time"),
)  # fmt: skip
_HEAD: Final = '{"v":1,"k":"SECRET",'
LOG_FORMAT: Final = _HEAD + ",".join(f'"{name}":"{value}"' for name, value in _FIELDS) + "}"
OTHER_FORMAT: Final = _HEAD + '"other":1,' + ",".join(f'"{name}":"{value}"' for name, value in _OTHERS) + "}"
SINK_FORMAT: Final = '{"v":1,"k":"SECRET","sink":1,"id":"$http_x_darktime_id","at":"$http_x_darktime_at"}'
CLIENT_CLOSED: Final = 499
KEYED: Final = ("valid", "unusable", "none")
_PART: Final = re.compile(r"[bc][0-9]{3}")
_MOST_DIGITS: Final = 16
_UNFINISHED: Final = (400, 408)  # and production not asked: the client ended, or fell silent, within its own body
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# A line of the usual form: one server was asked, and told what it said in plain words. All others are read as JSON.
_SECONDS: Final = rb"[0-9]{1,9}\.[0-9]{3}"
_USUAL: Final = {
    "id": rb"[0-9a-f]{32}", "at": _SECONDS.replace(b"9}", b"10}", 1), "status": rb"[0-9]{3}", "type": rb"[ !#-\[\]-~]{0,100}",
    "bytes": rb"[0-9]{1,15}", "took": _SECONDS, "head": _SECONDS, "up": _SECONDS, "done": rb"(?:OK)?",
    "part": rb"(?:[bc][0-9]{3})?", "census": rb"1?", "len": rb"[0-9]{0,15}", "enc": rb"",
}  # fmt: skip
_USUAL_LINE: Final = re.compile(
    rb'\{"v":1,"k":"([!#-\[\]-~]*)",'
    + b",".join(b'"%b":"(%b)"' % (name.encode(), _USUAL[name]) for name, _ in _FIELDS)
    + rb"\}[ \t\r\n]*"
)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One sampled request as production ended it, or (``sink``) a copy that nginx kept from the relay.

    ``at``: when the request began, seconds UTC, the same number that its copy carries. Seconds are production's own:
    until the head, and until the end of its reply; None where production was not asked. ``length``: bytes that went out,
    which chunks and frames add to; ``exact_length``: of the body itself, None where a coding hides it or nothing says it.
    ``took``: until nginx was through with it, the copy's mirror included. ``part``: the user's bucket. ``census``: it is one
    of those that are counted for all.
    """

    id: str
    at: float
    sink: bool = False
    status: int = 0
    content_type: str = ""
    length: int = 0
    head_seconds: float | None = None
    seconds: float | None = None
    aborted: bool = False
    took: float | None = None
    part: str = ""
    census: bool = False
    exact_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherLine:
    """One request that was not copied: of a user of the control group (``part`` names the bucket), of the census, or both.

    ``keyed``: ``valid``, ``unusable`` (it carries a key that is no user's) or ``none``.
    """

    part: str
    census: bool
    keyed: str
    status: int
    content_type: str
    took: float | None
    seconds: float | None


def read_line(datagram: bytes, secret: str) -> LogLine | OtherLine | None:
    """The line in a datagram; None for what does not carry the run's secret, or is no line of ours."""
    start = datagram.find(b"{")
    if start < 0:
        return None
    usual = _USUAL_LINE.fullmatch(datagram, start)
    if usual is not None:
        return _read_usual(usual, secret)
    return _read_exactly(datagram, start, secret)


def _read_usual(found: re.Match[bytes], secret: str) -> LogLine | None:
    """The same as ``_read_exactly`` says, in a quarter of the time."""
    told, request_id, at, status, kind, sent, took, head, up, _, part, census, length, _ = found.groups()
    if not hmac.compare_digest(told, secret.encode()):
        return None
    number = int(status)
    return LogLine(
        id=request_id.decode(),
        at=float(at),
        status=number,
        content_type=_usual_type(kind),
        length=int(sent),
        head_seconds=float(head),
        seconds=float(up),
        aborted=number == CLIENT_CLOSED,
        exact_length=int(length) if length else None,
        took=float(took),
        part=part.decode(),
        census=census == b"1",
    )


def _read_exactly(datagram: bytes, start: int, secret: str) -> LogLine | OtherLine | None:
    try:
        fields = json.loads(datagram[start:].decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("v") != 1:
        return None
    told, request_id, at = fields.get("k"), fields.get("id"), _number(fields.get("at"))
    if not isinstance(told, str) or not hmac.compare_digest(told.encode("utf-8", "replace"), secret.encode()):
        return None
    if fields.get("other") == 1:
        return _read_other(fields)
    if not isinstance(request_id, str) or not _ID.fullmatch(request_id) or at is None:
        return None
    if fields.get("sink") == 1:
        return LogLine(id=request_id, at=at, sink=True)
    status, seconds = int(_number(fields.get("status")) or 0), _number(fields.get("up"))
    return LogLine(
        id=request_id,
        at=at,
        status=status,
        content_type=plain_type(str(fields.get("type", ""))),
        length=int(_number(fields.get("bytes")) or 0),
        head_seconds=_number(fields.get("head")),
        seconds=seconds,
        aborted=status == CLIENT_CLOSED or (seconds is None and status in _UNFINISHED),
        exact_length=_exact_length(fields),
        took=_number(fields.get("took")),
        part=_part(fields),
        census=fields.get("census") == "1",
    )


def _read_other(fields: dict[str, object]) -> OtherLine:
    keyed = fields.get("keyed")
    return OtherLine(
        part=_part(fields),
        census=fields.get("census") == "1",
        keyed=keyed if isinstance(keyed, str) and keyed in KEYED else KEYED[-1],
        status=int(_number(fields.get("status")) or 0),
        content_type=plain_type(str(fields.get("type", ""))),
        took=_number(fields.get("took")),
        seconds=_number(fields.get("up")),
    )


def _part(fields: dict[str, object]) -> str:
    part = fields.get("part")
    return part if isinstance(part, str) and _PART.fullmatch(part) else ""


def _exact_length(fields: dict[str, object]) -> int | None:
    told = fields.get("len")
    plain = isinstance(told, str) and told.isascii() and told.isdigit() and len(told) < _MOST_DIGITS
    return int(str(told)) if plain and fields.get("enc") == "" else None


@lru_cache(maxsize=1024)
def _usual_type(content_type: bytes) -> str:
    return plain_type(content_type.decode("ascii"))


def plain_type(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    plain = content_type.partition(";")[0].strip().lower()
    return plain.encode("utf-8", "backslashreplace").decode()  # what is no UTF-8 can be written down, too


def _number(text: object) -> float | None:
    """The last number of what nginx lists when it asked several servers."""
    found = _NUMBER.findall(text) if isinstance(text, str) and len(text) < 1000 else []  # noqa: PLR2004 - a hostile list
    return float(found[-1]) if found and len(found[-1]) < _MOST_DIGITS else None
