"""Where requests come from: preformatted bytes, the same every time, or from a list in turn. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darktime.blast.settings import Address


class Source(Protocol):
    """Gives a pool its requests. ``fixed``: all are these bytes, and nobody wants to know how they ended."""

    fixed: bytes | None

    def next(self, planned_s: float) -> tuple[bytes, int]:
        """The bytes of a request and a number to know it again by."""

    def ended(self, number: int, *, ok: bool) -> None:
        """The request of that number was answered (``ok``: below 400), or failed."""


class Fixed:
    """The same request every time."""

    def __init__(self, request: bytes) -> None:
        self.fixed: bytes | None = request
        self._request = request

    def next(self, planned_s: float) -> tuple[bytes, int]:  # noqa: ARG002 - part of the protocol
        """The request."""
        return self._request, 0

    def ended(self, number: int, *, ok: bool) -> None:
        """Nothing to remember."""


class Listed:
    """Requests of a list, one after the other, over and over."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        if not requests:
            raise ValueError("a list of no requests: at least one is needed")
        self.fixed: bytes | None = requests[0] if len(requests) == 1 else None
        self._requests = tuple(requests)
        self._at = -1

    def next(self, planned_s: float) -> tuple[bytes, int]:  # noqa: ARG002 - part of the protocol
        """The next request; its number is its place in the list."""
        self._at = at = (self._at + 1) % len(self._requests)
        return self._requests[at], at

    def ended(self, number: int, *, ok: bool) -> None:
        """Nothing to remember."""


def get(address: Address, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A GET request, preformatted."""
    return request(address, "GET", path, headers=headers)


def chat(address: Address, path: str, model: str, prompt: str, *, max_tokens: int) -> bytes:
    """A request for a chat completion that streams, as OpenAI's interface takes it, preformatted."""
    said = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "stream": True}
    return ask_for_stream(address, path, json.dumps(said).encode())


def ask_for_stream(address: Address, path: str, body: bytes) -> bytes:
    """A POST of JSON whose reply streams, preformatted. MCP servers want both kinds of replies to be acceptable."""
    kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return request(address, "POST", path, headers=kind, body=body)


def request(
    address: Address,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """A request, preformatted. ``headers`` come before ours of the same name."""
    fields = {
        "Host": address.authority,
        "User-Agent": "darkesttime",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "X-Darktime": "1",
    }
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = str(len(body))
    given = dict(headers or {})
    names = {name.lower() for name in given}
    fields = {name: value for name, value in fields.items() if name.lower() not in names} | given
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
