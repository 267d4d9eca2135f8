"""One answer with its body, and how two of them differ. Pure."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from darktime.split.compare.differ import differences
from darktime.split.compare.difference import BODY, CHANGED, CONTENT_TYPE, STATUS, TYPE, FieldDifference, Found
from darktime.split.compare.json_body import NotJson, canonical, read_json

if TYPE_CHECKING:
    from darktime.split.compare.rules import About

DECODED_BYTES: Final = 262_144  # what a body of some kilobytes may become: more is a bomb, or not worth its time
JSON: Final = "application/json"
HTML: Final = "text/html"
TOO_BIG: Final = "body_too_big"
BOMB: Final = "body_bomb"
CODING: Final = "body_coding"
BROKEN: Final = "body_broken"
_GZIP_OR_ZLIB: Final = 47
_RAW: Final = -15
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as it came. ``body``: its beginning, as much as was kept; ``length``: bytes of the whole of it."""

    status: int
    content_type: str = ""
    coding: str = ""
    body: bytes = b""
    length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """An answer that has been read. ``value``: of JSON, where ``is_json``. ``why``: what kept it from being read whole.

    ``written``: the value as ``canonical`` writes it. ``digest``: of any other body, of the bytes that were kept, decoded if
    they could be: what is too big differs by it or by its length.
    """

    status: int
    content_type: str
    is_json: bool
    value: Any
    written: bytes
    digest: str
    length: int
    why: str = ""

    @property
    def told(self) -> str:
        """The body in a few words, where its fields are not known."""
        return f"{self.length:,} bytes, digest {self.digest}"


def read_answer(answer: Answer, about: About, *, html_whitespace: bool = False) -> Content:
    """Decode and read a body; what cannot be read is compared by its bytes. ``about``: what of it is left out.

    ``html_whitespace``: any run of white space in HTML is one space.
    """
    body, why = answer.body, ""
    if len(body) < answer.length:
        why = TOO_BIG
    elif answer.coding:
        body, why = _decoded(body, answer.coding)
    value, is_json, written = None, False, b""
    if not why and (answer.content_type == JSON or answer.content_type.endswith("+json")) and body:
        try:
            value, is_json = about.without_ignored(read_json(body)), True
            written = canonical(value)
        except NotJson:
            why = BROKEN
    elif not why and html_whitespace and answer.content_type == HTML:
        body = b" ".join(body.split())
    return Content(
        status=answer.status,
        content_type=answer.content_type,
        is_json=is_json,
        value=value,
        written=written,
        digest="" if is_json else hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest(),
        length=answer.length if why else len(body),
        why=why,
    )


def compare_contents(one: Content, other: Content, about: About) -> Found:
    """How two answers differ: by status, then by content type, then by their bodies."""
    if one.status != other.status:
        return _pseudo(STATUS, str(one.status), str(other.status), about)
    if one.content_type != other.content_type:
        return _pseudo(CONTENT_TYPE, one.content_type, other.content_type, about)
    if one.is_json and other.is_json:
        return _values(one, other, about)
    if one.is_json != other.is_json:
        told = [
            ("JSON" if side.is_json else f"not read as JSON ({side.why or 'empty'}), {side.told}")
            for side in (one, other)
        ]
        return _pseudo(BODY, told[0], told[1], about, kind=TYPE)
    if (one.length, one.digest) != (other.length, other.digest):
        return _pseudo(BODY, one.told, other.told, about)
    return Found()


def _values(one: Content, other: Content, about: About) -> Found:
    if one.written == other.written:
        return Found()
    found = differences(one.value, other.value, unordered=about.is_unordered)
    if found.cut and not found.differences:  # they differ, beyond what was looked at
        return replace(_pseudo(BODY, one.told, other.told, about), cut=True)
    return found


def _pseudo(path: str, one: str, other: str, about: About, *, kind: str = CHANGED) -> Found:
    if about.ignores(path):
        return Found()
    return Found(differences=(FieldDifference(path=path, kind=kind, one=one, other=other),))


def _decoded(body: bytes, coding: str) -> tuple[bytes, str]:
    """The bytes of gzip or deflate, at most ``DECODED_BYTES`` of them, and why they are not all."""
    if coding == "identity":
        return body, ""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body, CODING
    for window in (_GZIP_OR_ZLIB, _RAW) if coding == "deflate" else (_GZIP_OR_ZLIB,):
        try:
            return _inflated(body, window)
        except zlib.error:
            continue
    return body, BROKEN


def _inflated(body: bytes, window: int) -> tuple[bytes, str]:
    pieces: list[bytes] = []
    room = DECODED_BYTES
    while body:  # gzip may have several members
        reader = zlib.decompressobj(window)
        piece = reader.decompress(body, room + 1)
        if len(piece) > room:
            return b"".join([*pieces, piece[:room]]), BOMB
        if not reader.eof:
            return b"".join([*pieces, piece]), BROKEN
        pieces.append(piece)
        room -= len(piece)
        body = reader.unused_data
    return b"".join(pieces), ""
