"""Endpoints: what a path is a case of. Pure; a label for figures, so there may only be few of them."""

from __future__ import annotations

import re
from typing import Final

ID: Final = "{id}"
_MAX_SEGMENTS: Final = 8
_MAX_SEGMENT: Final = 40
# A word that a programmer wrote: letters with _ or - between them, or a version. All else names one thing of many.
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-_.][A-Za-z]+)*|v[0-9]{1,2}")


def endpoint_of(target: str) -> str:
    """The template of a request's target: ``/ev/thread:12?x=1`` is ``/ev/{id}``. At most eight segments are kept."""
    path = target.partition("?")[0].partition("#")[0]
    segments = path.split("/")[1:]
    kept = [part if not part or _is_word(part) else ID for part in segments[:_MAX_SEGMENTS]]
    if len(segments) > _MAX_SEGMENTS:
        kept.append("…")
    return "/" + "/".join(kept)


def _is_word(segment: str) -> bool:
    return len(segment) <= _MAX_SEGMENT and _WORD.fullmatch(segment) is not None
