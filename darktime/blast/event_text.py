"""Takes the framing off a stream and gives the text of its whole events: what fast readers count in. Pure.

Nothing is parsed that is not needed to find where events end. Line ends come out as LF, each text ends with the empty
line of its last event, and comments that stand between events are counted, not kept.
"""

from __future__ import annotations

import re

from darktime.wire.chunked import ChunkedDecoder
from darktime.wire.errors import WireError
from darktime.wire.eventsource import MAX_EVENT

_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_BOM = b"\xef\xbb\xbf"
_COLON, _LF = b":\n"


class EventText:
    """One stream's, from its first byte behind the head. ``done``: the reply has ended by its own framing.

    ``length``: bytes of the body where the head announced them. ``comments`` counts comment lines.
    """

    __slots__ = ("_bom_gone", "_chunks", "_left", "_skip_lf", "_tail", "comments", "done")

    def __init__(self, *, chunked: bool, length: int | None = None, begun: bool = False) -> None:
        self.comments = 0
        self.done = length == 0
        self._left = length
        self._chunks = ChunkedDecoder() if chunked else None
        self._bom_gone = begun
        self._skip_lf = False
        self._tail = b""

    def feed(self, raw: bytes) -> bytes:
        """Take bytes as they arrived; the whole events they complete, b"" when none. Raises WireError."""
        text = self._unframed(raw)
        if b"\r" in text or self._skip_lf:
            text = self._with_lf(text)
        tail = self._tail
        if tail:
            text = tail + text
        if not self._bom_gone:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._tail = text
                return b""
            self._bom_gone = True
            text = text.removeprefix(_BOM)
        end = text.rfind(b"\n\n", max(len(tail) - 1, 0)) + 2
        if end == 1:  # not found
            end = 0
        rest, comments = _trimmed(text, end)
        if len(rest) > MAX_EVENT:
            raise WireError(f"an event of more than {MAX_EVENT} bytes: expected an empty line, read more")
        self._tail = rest
        whole = text[:end]
        self.comments += comments + comments_in(whole)
        return whole

    @property
    def chunked(self) -> bool:
        """It comes in chunks."""
        return self._chunks is not None

    @property
    def at_border(self) -> bool:
        """What came so far is whole events in whole chunks: what follows can be read without knowing it."""
        return (
            self._bom_gone
            and not self._tail
            and not self._skip_lf
            and self._left is None
            and (self._chunks is None or self._chunks.at_border)
        )

    def _unframed(self, raw: bytes) -> bytes:
        if self._chunks is not None:
            body = b"".join(self._chunks.feed(raw))
            self.done = self._chunks.done
            return body
        if self._left is not None:
            raw = raw[: self._left]
            self._left -= len(raw)
            self.done = self._left == 0
        return raw

    def _with_lf(self, text: bytes) -> bytes:
        if self._skip_lf and text:
            self._skip_lf = False
            if text.startswith(b"\n"):
                text = text[1:]
        if text.endswith(b"\r"):
            self._skip_lf = True
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def whole_text(raw: bytes, *, chunked: bool) -> tuple[bytes, int] | None:
    """Text and comments of bytes that begin and end at a border, as ``EventText`` would give them; None if they don't.

    It knows nothing of the stream, so that the same bytes on many streams need be looked at once.
    """
    text = whole_chunks(raw) if chunked else raw
    if not text or text[-1] != _LF:
        return None
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = text.rfind(b"\n\n") + 2
    if end == 1:
        end = 0
    comments = 0
    if end != len(text):
        rest, comments = _trimmed(text, end)
        if rest:
            return None
        text = text[:end]
    return text, comments + comments_in(text)


def whole_chunks(raw: bytes) -> bytes | None:
    """The body's bytes where ``raw`` is nothing but whole, plain chunks, and not the last; else None."""
    pieces = []
    at, size = 0, len(raw)
    while at < size:
        match = _CHUNK_HEAD.match(raw, at)
        if match is None:
            return None
        start = match.end()
        length = int(match[1], 16)
        at = start + length + 2
        if not length or raw[at - 2 : at] != b"\r\n":
            return None
        pieces.append(raw[start : at - 2])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def comments_in(text: bytes) -> int:
    """Lines that are comments."""
    return text.count(b"\n:") + text.startswith(b":")


def _trimmed(text: bytes, at: int) -> tuple[bytes, int]:
    """What stands from ``at`` on without the whole comments and empty lines it begins with, and how many comments."""
    comments = 0
    size = len(text)
    while at < size and text[at] in (_COLON, _LF):
        end = text.find(b"\n", at)
        if end < 0:
            break
        comments += text[at] == _COLON
        at = end + 1
    return text[at:], comments
