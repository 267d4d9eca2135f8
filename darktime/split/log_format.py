"""The log lines that nginx sends the relay: how nginx writes one, how it is read. Pure; version 1.

It escapes quotes, backslashes and control characters only, and writes a number as ``-`` or as several: every field is
a string, and bytes that are no UTF-8 are kept as surrogates.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from typing import Final

VERSION: Final = "1"
_FIELDS: Final = (
    ("id", "$request_id"), ("at", "$darktime_at"), ("status", "$status"), ("type", "$sent_http_content_type"),
    ("bytes", "$body_bytes_sent"), ("took", "$request_time"), ("head", "$upstream_header_time"),
    ("up", "$upstream_response_time"), ("done", "$request_completion"),
)  # fmt: skip
LOG_FORMAT: Final = '{"v":1,"k":"SECRET",' + ",".join(f'"{name}":"{value}"' for name, value in _FIELDS) + "}"
SINK_FORMAT: Final = '{"v":1,"k":"SECRET","sink":1,"id":"$http_x_darktime_id","at":"$http_x_darktime_at"}'
CLIENT_CLOSED: Final = 499
_UNFINISHED: Final = (400, 408)  # and production not asked: the client ended, or fell silent, within its own body
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One sampled request as production ended it, or (``sink``) a copy that nginx kept from the relay.

    ``at``: when the request began, seconds UTC, the same number that its copy carries. Seconds are production's own:
    until the head, and until the end of its reply; None where production was not asked.
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


def read_line(datagram: bytes, secret: str) -> LogLine | None:
    """The line in a datagram; None for what does not carry the run's secret, or is no line of ours."""
    start = datagram.find(b"{")
    if start < 0:
        return None
    try:
        fields = json.loads(datagram[start:].decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("v") != 1:
        return None
    told, request_id, at = fields.get("k"), fields.get("id"), _number(fields.get("at"))
    if not isinstance(told, str) or not hmac.compare_digest(told.encode("utf-8", "replace"), secret.encode()):
        return None
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
    )


def plain_type(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _number(text: object) -> float | None:
    """The last number of what nginx lists when it asked several servers."""
    found = _NUMBER.findall(text) if isinstance(text, str) and len(text) < 1000 else []  # noqa: PLR2004 - a hostile list
    return float(found[-1]) if found else None
