"""Puts a line into a block of nginx's configuration, as text: whatever else stands there stays as it is. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SPACE = " \t\r\n"
_ENDS = "{};"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A directive: its words, the line of the first, the offset behind its brace or semicolon, and which it was."""

    words: tuple[str, ...]
    line: int
    offset: int
    opens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """``text`` is to stand first in the block of that directive, or behind it where it has none."""

    file: str
    line: int
    words: tuple[str, ...]
    text: str


def directives(text: str) -> Iterator[Directive]:
    """Every directive, in order. Quotes, escapes, comments and ``${variables}`` are those of nginx's own reader."""
    words: list[str] = []
    line = began = 1
    at = 0
    while at < len(text):
        char = text[at]
        if char in _SPACE:
            line += char == "\n"
            at += 1
        elif char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif char in _ENDS:
            at += 1
            if words:
                yield Directive(words=tuple(words), line=began, offset=at, opens=char == "{")
            words = []
        else:
            if not words:
                began = line
            end = _word_end(text, at)
            words.append(_word(text[at:end]))
            line += text.count("\n", at, end)
            at = end


def _word_end(text: str, at: int) -> int:
    quote = text[at] if text[at] in "\"'" else ""
    end = at + len(quote)
    while end < len(text):
        char = text[end]
        if char == "\\":
            end += 2
            continue
        if quote:
            if char == quote:
                return end + 1
        elif char in _SPACE or char == ";" or (char == "{" and text[end - 1] != "$"):
            return end
        end += 1
    return len(text)


def _word(raw: str) -> str:
    if len(raw) > 1 and raw[0] in "\"'" and raw[-1] == raw[0]:
        return raw[1:-1].replace(f"\\{raw[0]}", raw[0])
    return raw


def insert(texts: Mapping[str, str], insertions: Sequence[Insertion]) -> dict[str, str]:
    """The files with every insertion made; one that is asked for twice is made once.

    Raises LookupError for a block that is not there.
    """
    changed = dict(texts)
    for file in dict.fromkeys(one.file for one in insertions):
        text = changed[file]
        found = list(directives(text))
        marks: list[tuple[int, str]] = []
        for one in dict.fromkeys(one for one in insertions if one.file == file):
            place = next((told for told in found if told.line == one.line and told.words == one.words), None)
            if place is None:
                raise LookupError(f"{file}:{one.line}: no {' '.join(one.words)}")
            indent = _indent(text, place.offset) + (_step(text) if place.opens else "")
            rest = text[place.offset :].partition("\n")[0].strip()
            marks.append((place.offset, f"\n{indent}{one.text}" + (f"\n{indent}" if rest and rest[0] != "#" else "")))
        for offset, words in sorted(marks, reverse=True):
            text = text[:offset] + words + text[offset:]
        changed[file] = text
    return changed


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What changes, as ``patch -p0`` and ``patch -R -p0`` take it."""
    parts = []
    for file, text in after.items():
        if before[file] != text:
            lines = difflib.unified_diff(_lines(before[file]), _lines(text), file, file)
            parts += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "".join(parts)


def _lines(text: str) -> list[str]:
    """Lines as patch counts them: a form feed or a carriage return ends none."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _indent(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(text: str) -> str:
    """How the file indents."""
    first = next((line for line in text.splitlines() if line[:1] in (" ", "\t") and line.strip()), "    ")
    return "\t" if first.startswith("\t") else " " * min(len(first) - len(first.lstrip(" ")), 8)
