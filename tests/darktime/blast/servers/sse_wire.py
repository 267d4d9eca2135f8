"""How events look on the wire: every form that the standard allows, and chunk borders wherever they hurt. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.darktime.blast.servers.replies import chunked

LINE_ENDS: Final = {"lf": (b"\n",), "crlf": (b"\r\n",), "cr": (b"\r",), "mixed": (b"\n", b"\r\n", b"\r")}
BOM: Final = b"\xef\xbb\xbf"
UTF8: Final = "żółć ☃ 𝄞 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How this server writes.

    Attributes:
        line_ends: a name of ``LINE_ENDS``; "mixed" changes with each event.
        lines: "one" data line; "around": lines before and after the payload; "inside": the payload is cut at commas.
        comments: a comment before and inside every such event, 0: none.
        bom: the stream begins with a byte order mark.
        utf8: characters of two, three and four bytes stand before the payload.
        bare: no space after the colons.
        fields: an event type, an unknown field and one without a colon in each event.
        chunk_bytes: a chunk has at most so many bytes of an event; 0: an event is one chunk.
    """

    line_ends: str = "lf"
    lines: str = "one"
    comments: int = 0
    bom: bool = False
    utf8: bool = False
    bare: bool = False
    fields: bool = False
    chunk_bytes: int = 0

    def greeting(self, retry_ms: int | None) -> bytes:
        """How a stream begins."""
        lines = [b": "] + ([] if retry_ms is None else [b"retry: %d" % retry_ms, b""])
        return self._chunks((BOM if self.bom else b"") + self._joined(lines, 0))

    def event(self, number: int, event_id: bytes, payload: bytes) -> bytes:
        """One event, in its chunks. ``number`` counts the channel's events; without an id there is no id line."""
        commented = bool(self.comments) and number % self.comments == 0
        colon = b":" if self.bare else b": "
        lines = [b": before"] if commented else []
        if event_id:
            lines.append(b"id" + colon + event_id)
        if self.fields:
            lines += [b"event" + colon + b"message", b"flavour" + colon + b"none", b"nothing"]
        if commented:
            lines.append(b":inside")
        lines += [b"data" + colon + text for text in self._texts(payload)]
        return self._chunks(self._joined([*lines, b""], number))

    def _texts(self, payload: bytes) -> list[bytes]:
        if self.utf8:
            payload = UTF8.encode() + payload
        texts = payload.splitlines() or [b""]
        if self.lines == "around":
            return [b"first", *texts, b"", b"last"]
        if self.lines == "inside":
            return b",\n".join(payload.split(b",")).splitlines()
        return texts

    def _joined(self, lines: list[bytes], number: int) -> bytes:
        ends = LINE_ENDS[self.line_ends]
        end = ends[number % len(ends)]
        return b"".join(line + end for line in lines)

    def _chunks(self, text: bytes) -> bytes:
        return chunked(text, self.chunk_bytes)


def cut(wire: bytes, how: str, number: int) -> list[bytes]:
    """The pieces in which bytes are written: "none", "walk" (in two, each time one byte further on), "every" byte."""
    if how == "every":
        return [wire[at : at + 1] for at in range(len(wire))]
    at = number % len(wire)
    if how == "walk" and at:
        return [wire[:at], wire[at:]]
    return [wire]
