"""HTTP replies as bytes: the status line and headers that every reply of a kind has, made once. Pure."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from realtime_core.push.request import Refusal

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON: Final = "application/json"
PLAIN: Final = "text/plain"


def reply(
    status: int,
    body: bytes = b"",
    *,
    content_type: str = "",
    explain: str = "",
    allow: str = "",
    modern: bool = True,
    keep_alive: bool = True,
) -> bytes:
    """A whole reply. ``explain`` is the reason for people, ``allow`` the methods there are, ``modern`` means 1.1."""
    head = _head(status, content_type, explain, allow, modern=modern, keep_alive=keep_alive)
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def refusal_reply(refusal: Refusal, *, modern: bool = True, keep_alive: bool = True) -> bytes:
    """The reply to what is refused: the status, an empty body, the reason in a header."""
    return reply(refusal.status, explain=refusal.explain, allow=refusal.allow, modern=modern, keep_alive=keep_alive)


@lru_cache(maxsize=256)
def _head(status: int, content_type: str, explain: str, allow: str, *, modern: bool, keep_alive: bool) -> bytes:
    lines = [
        f"HTTP/1.{int(modern)} {status} {HTTPStatus(status).phrase}",
        "Expires: Thu, 01 Jan 1970 00:00:01 GMT",
        "Cache-Control: no-cache, no-store, must-revalidate",
    ]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    if explain:
        lines.append(f"X-Nginx-PushStream-Explain: {explain}")
    if allow:
        lines.append(f"Allow: {allow}")
    if not keep_alive:
        lines.append("Connection: close")
    elif not modern:
        lines.append("Connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
