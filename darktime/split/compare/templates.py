"""Reads an application's own endpoints: the paths of an OpenAPI document, or one template a line. Pure."""

from __future__ import annotations

from typing import Final

from darktime.errors import UsageError
from darktime.split.compare.openapi import is_openapi, openapi_templates

MOST_TEMPLATES: Final = 2000
MOST_TEXT: Final = 16 * 1024 * 1024  # the largest documents that companies publish are of some ten


def read_templates(text: str) -> tuple[str, ...]:
    """The templates, as ``/user/{id}``. Raises UsageError."""
    text = text.removeprefix("\ufeff")  # some editors begin so
    if len(text) > MOST_TEXT:
        raise UsageError(f"the endpoints file is larger than {MOST_TEXT // 2**20} MiB: its paths alone would do")
    found = openapi_templates(text) if is_openapi(text) else _of_lines(text)
    if not found:
        raise UsageError(
            "the endpoints file names none: an OpenAPI document in JSON or YAML, or one template a line, please"
        )
    if len(found) > MOST_TEMPLATES:
        raise UsageError(f"the endpoints file names {len(found):,}: {MOST_TEMPLATES:,} at the most, please")
    return found


def _of_lines(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        template = line.strip()
        if not template or template.startswith("#"):
            continue
        if not template.startswith("/") or " " in template or template.count("{") != template.count("}"):
            raise UsageError(f"the endpoints file's line {number} is {template[:80]!r}: a path as /user/{{id}}, please")
        found[template] = None
    return tuple(found)
