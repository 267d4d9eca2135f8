"""One line of a recording, written and read. Pure; version 1, as docs/recorded.md has it.

What is read may be hostile: a request that is given out here can be sent as it is, and is one request.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import orjson

from darktime.errors import UsageError

VERSION: Final = 1
OLDEST: Final = 1  # of those that are read; version N reads N-1
MAX_LINE: Final = 4_194_304  # bytes
MAX_HEADERS: Final = 100
MARKER: Final = "darktime_recording"
_MAX_TEXT: Final = 200
_MOST_KNOWN: Final = 50_000
_MAX_AT_S: Final = 1e9
_MAX_LENGTH: Final = 1 << 60
_ID: Final = re.compile(r"[0-9a-f]{32}")
_USER: Final = re.compile(r"[0-9a-f]{16}")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_TARGET: Final = re.compile(r"/[!-~]{0,65535}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
# What may stand in a value: no end of a line, no NUL, nothing that a receiver strips.
_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,65535}[!-~\x80-\xff])?)?")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
# They follow from the body and the connection, or are the sender's own: in a file they could only make two requests of one.
_NOT_KEPT: Final = frozenset({
    "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", "te", "trailer", "expect",
    "proxy-connection", "proxy-authorization", "http2-settings", "traceparent", "tracestate",
})  # fmt: skip
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


class NotALine(ValueError):  # noqa: N818 - what stands in the file
    """A line that is none of a recording's; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line. ``began``: seconds UTC that every ``at`` counts from. ``key``: what made a user."""

    experiment: str
    key: str
    began: float
    version: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request. ``at``: seconds since the recording began. ``user``: a mark. Texts are bytes as latin-1."""

    at: float
    id: str
    user: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What production answered; None where it is not known. ``seconds``: of a stream, until its head."""

    status: int
    content_type: str | None = None
    length: int | None = None
    seconds: float | None = None


def header_line(header: Header) -> bytes:
    """The first line of a recording."""
    told = {MARKER: header.version, "experiment": header.experiment, "key": header.key, "began": round(header.began, 3)}
    return orjson.dumps(told) + b"\n"


def request_line(request: Recorded, answer: Answer | None = None) -> bytes:
    """The line of one request, with its answer where that is known already."""
    told: dict[str, Any] = {
        "at": round(request.at, 3),
        "id": request.id,
        "user": request.user,
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
    }
    if request.body:
        told["body"] = base64.b64encode(request.body).decode()
    if answer is not None:
        told["answer"] = _told(answer)
    return orjson.dumps(told) + b"\n"


def answer_line(request_id: str, answer: Answer) -> bytes:
    """The line that tells the answer to a request whose own line came before."""
    return orjson.dumps({"id": request_id, "answer": _told(answer)}) + b"\n"


def _told(answer: Answer) -> dict[str, Any]:
    kind = answer.content_type
    return {
        "status": answer.status,
        # What nginx logs may be no UTF-8.
        "type": None if kind is None else kind.encode("ascii", "backslashreplace").decode()[:_MAX_TEXT],
        "length": answer.length,
        "seconds": answer.seconds,
    }


def of_payload(request_id: str, at: float, user: str, payload: bytes) -> tuple[Recorded, int]:
    """The request that goes out as ``payload``, and how many of its headers cannot be kept.

    What belongs to the sending of it is left out: marks, trace, framing. Raises NotALine where it cannot be kept at all.
    """
    head, _, body = payload.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, target, version
        raise NotALine("it does not begin with a method and a target")
    fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    mine = [one for one in fields if not _is_senders(one[0])]
    kept = [one for one in mine if _fits(*one)][:MAX_HEADERS]
    request = Recorded(
        at=max(at, 0.0), id=request_id, user=user, method=words[0], target="", headers=tuple(kept), body=body
    )
    return sendable(request, words[1].encode("latin-1")), len(mine) - len(kept)


def sendable(request: Recorded, target: bytes) -> Recorded:
    """The request as it may stand in a file: what is no printable ASCII in its ``target`` is percent-encoded.

    Headers that cannot be sent are left out. Raises NotALine for a method or target that cannot.
    """
    quoted = quote(target, safe=_PRINTABLE)
    if not _METHOD.fullmatch(request.method) or not _TARGET.fullmatch(quoted) or b" " in target:
        raise NotALine("its method or target cannot be sent")
    return replace(request, target=quoted, headers=tuple(one for one in request.headers if _fits(*one)))


def read_header(line: bytes) -> Header:
    """The first line. Raises NotALine, and UsageError for a version that is not read here."""
    told = _object(line)
    version = told.get(MARKER)
    if not isinstance(version, int) or isinstance(version, bool):
        raise NotALine(f"it has no {MARKER}")
    if version > VERSION:
        raise UsageError(
            f"the recording is of version {version}, and this release reads {OLDEST} to {VERSION}: "
            "replay it with the release that made it, or a newer one"
        )
    if version < OLDEST:
        raise UsageError(
            f"the recording is of version {version}, and this release reads {OLDEST} to {VERSION}: record again"
        )
    return Header(
        experiment=_text(told, "experiment"),
        key=_text(told, "key"),
        began=_number(told.get("began"), "began"),
        version=version,
    )


Headers = tuple[tuple[str, str], ...]


def read_line(line: bytes, known: dict[Headers, Headers] | None = None) -> tuple[Recorded | str, Answer | None]:
    """A request with its answer, if that stands there; or the id of a request that came before, and its answer.

    ``known``: headers that were read before; a user's requests mostly have the same, and share them then. Members that
    are not known are passed over. Raises NotALine.
    """
    told = _object(line)
    answer = _answer(told["answer"]) if told.get("answer") is not None else None
    request_id = _matching(told, "id", _ID)
    if "method" not in told:
        if answer is None:
            raise NotALine("it is neither a request nor an answer")
        return request_id, answer
    request = Recorded(
        at=_number(told.get("at"), "at"),
        id=request_id,
        user=_matching(told, "user", _USER),
        method=_matching(told, "method", _METHOD),
        target=_matching(told, "target", _TARGET),
        headers=_shared(_headers(told.get("headers", [])), known),
        body=_body(told.get("body", "")),
    )
    return request, answer


def _object(line: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise NotALine("it is no JSON") from None
    if not isinstance(told, dict):
        raise NotALine("it is no JSON object")
    return told


def _matching(told: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise NotALine(f"its {name} cannot be sent" if name in {"method", "target"} else f"its {name} is none")
    return value


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name, "")
    if not isinstance(value, str):
        raise NotALine(f"its {name} is no text")
    return value[:_MAX_TEXT]


def _number(value: object, name: str, most: float = math.inf) -> float:
    most = _MAX_AT_S if name == "at" else most
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < most:
        raise NotALine(f"its {name} is no number from 0 on")
    return float(value)


def _shared(headers: Headers, known: dict[Headers, Headers] | None) -> Headers:
    if known is None or (headers not in known and len(known) >= _MOST_KNOWN):
        return headers
    return known.setdefault(headers, headers)


def _headers(told: object) -> Headers:
    if not isinstance(told, list) or len(told) > MAX_HEADERS:
        raise NotALine(f"its headers are no list of at most {MAX_HEADERS}")
    found: list[tuple[str, str]] = []
    for one in told:
        if not isinstance(one, list) or len(one) != 2 or not all(isinstance(part, str) for part in one):  # noqa: PLR2004
            raise NotALine("one of its headers is no name with a value")
        name, value = one
        low = name.lower()
        if _is_senders(name):
            raise NotALine("one of its headers belongs to whoever sends it")
        if not _fits(name, value):
            raise NotALine("one of its headers cannot be sent")
        if low == "host" and any(other.lower() == "host" for other, _ in found):
            raise NotALine("it names two hosts")
        found.append((name, value))
    return tuple(found)


def _is_senders(name: str) -> bool:
    return name.lower() in _NOT_KEPT or name.lower().startswith("x-darktime")


def _fits(name: str, value: str) -> bool:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        return False
    return name.lower() != "host" or _HOST.fullmatch(value) is not None


def _body(told: object) -> bytes:
    try:
        return base64.b64decode(told, validate=True) if isinstance(told, str) else _no_body()
    except ValueError:
        raise NotALine("its body is no base64") from None


def _no_body() -> bytes:
    raise NotALine("its body is no text")


def _answer(told: object) -> Answer:
    if not isinstance(told, dict):
        raise NotALine("its answer is no object")
    status, kind, length, seconds = (told.get(name) for name in ("status", "type", "length", "seconds"))
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:  # noqa: PLR2004 - HTTP's
        raise NotALine("its answer has no status")
    if kind is not None and (not isinstance(kind, str) or len(kind) > _MAX_TEXT):
        raise NotALine("its answer's type is no short text")
    return Answer(
        status=status,
        content_type=kind,
        length=None if length is None else int(_number(length, "answer's length", _MAX_LENGTH)),
        seconds=None if seconds is None else _number(seconds, "answer's seconds", _MAX_AT_S),
    )
