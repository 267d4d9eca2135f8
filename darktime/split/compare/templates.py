"""Reads an application's own endpoints: the paths of an OpenAPI document, or one template a line. Pure."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from darktime.errors import UsageError

MOST_TEMPLATES: Final = 2000


def read_templates(text: str) -> tuple[str, ...]:
    """The templates, as ``/user/{id}``. Raises UsageError."""
    found = _of_openapi(text) if text.lstrip().startswith("{") else _of_lines(text)
    if not found:
        raise UsageError("the endpoints file names none: an OpenAPI document in JSON, or one template a line, please")
    if len(found) > MOST_TEMPLATES:
        raise UsageError(f"the endpoints file names {len(found):,}: {MOST_TEMPLATES:,} at the most, please")
    return found


def _of_openapi(text: str) -> tuple[str, ...]:
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the endpoints file begins as JSON and is none ({error})") from error
    paths = told.get("paths")
    if not isinstance(paths, dict):
        raise UsageError("the endpoints file has no 'paths': an OpenAPI document in JSON, please")
    servers = told.get("servers") or [{"url": told.get("basePath") or ""}]  # of OpenAPI 2
    if not isinstance(servers, list):
        raise UsageError("the endpoints file's 'servers' are no list: an OpenAPI document in JSON, please")
    bases = [_path_of(str(server.get("url", ""))) for server in servers if isinstance(server, dict)]
    return tuple(dict.fromkeys(f"{base}{path}" for base in bases or [""] for path in paths if path.startswith("/")))


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError as error:
        raise UsageError(f"the endpoints file's server {url[:80]!r} is no URL ({error}); mend it, please") from error


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
