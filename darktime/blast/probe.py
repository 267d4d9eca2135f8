"""Recognises what an instance is: a push endpoint, or plain HTTP, with TLS or not. A few requests, before any load."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from darktime.blast.sources import get
from darktime.blast.tls import context_of, refusal_of, server_name
from darktime.errors import UsageError
from darktime.wire.errors import WireError
from darktime.wire.stream import StreamReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darktime.blast.settings import Address

TIMEOUT_S = 3.0
STATS_PATH = "/channels-stats"
STREAM_PATH = "/ev/blast.0"
AS_A_BROWSER = {"Accept": "text/event-stream"}  # nchan answers anybody else with 403
MAX_BODY = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``kind`` is "push" or "http"; ``path`` is what plain requests ask for."""

    kind: str
    path: str


def recognise(address: Address, path: str | None) -> Endpoint:
    """Ask the instance. A path that was named is plain HTTP. Raises UsageError when nobody answers."""
    if path is not None:
        check_there(address)
        return Endpoint(kind="http", path=path)
    reader, body = _ask(address, STATS_PATH)
    if reader.head is not None and reader.head.status == 200 and _is_stats(body):  # noqa: PLR2004
        return Endpoint(kind="push", path="/")
    reader, _ = _ask(address, STREAM_PATH, AS_A_BROWSER)
    if reader.is_stream:
        return Endpoint(kind="push", path="/")
    if not address.tls and (reader.head is None or reader.head.status == 400) and speaks_tls(address):  # noqa: PLR2004
        raise UsageError(_speaks_tls_text(address))
    return Endpoint(kind="http", path="/")


def check_there(address: Address) -> None:
    """Whether somebody listens, and with TLS is who he should be. Raises UsageError."""
    connect(address).close()


def _is_stats(body: bytes) -> bool:
    try:
        stats = json.loads(body)
    except ValueError:
        return False
    return isinstance(stats, dict) and "channels" in stats and "subscribers" in stats


def connect(address: Address) -> socket.socket:
    """A blocking connection for a few requests, its handshake done. Raises UsageError."""
    try:
        plain = socket.create_connection((address.ip, address.port), timeout=TIMEOUT_S)
    except OSError as error:
        raise UsageError(
            f"nothing answers at {address.authority} ({error.strerror or error}): start it, or correct --instance"
        ) from error
    if not address.tls:
        return plain
    try:
        return context_of(address).wrap_socket(plain, server_hostname=server_name(address))
    except OSError as error:
        plain.close()
        raise UsageError(refusal_of(error, address, speaks_http=_speaks_http(error, address))) from error


def speaks_tls(address: Address) -> bool:
    """Whether it would shake hands: then plain HTTP was the wrong thing to speak."""
    try:
        with socket.create_connection((address.ip, address.port), timeout=TIMEOUT_S) as plain:
            context = context_of(replace(address, tls=True, insecure=True))
            context.wrap_socket(plain, server_hostname=server_name(address)).close()
    except OSError:
        return False
    return True


def _speaks_http(error: OSError, address: Address) -> bool:
    """Whether a handshake failed because plain HTTP is spoken: there may be no answer to what looks like a request."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return False
    try:
        with socket.create_connection((address.ip, address.port), timeout=TIMEOUT_S) as plain:
            plain.sendall(get(address, "/"))
            return plain.recv(65_536).startswith(b"HTTP/")
    except OSError:
        return False


def _speaks_tls_text(address: Address) -> str:
    return f"{address.authority} speaks TLS: write --instance https://{address.authority}"


def _ask(address: Address, path: str, headers: Mapping[str, str] | None = None) -> tuple[StreamReader, bytes]:
    """The reply to one GET: of a stream the head and what came with it, of anything else all."""
    reader = StreamReader()
    body = b""
    deadline = time.monotonic() + TIMEOUT_S
    with connect(address) as connection:
        try:
            connection.sendall(get(address, path, headers))
            while not reader.done and not reader.is_stream and len(body) < MAX_BODY and time.monotonic() < deadline:
                received = connection.recv(65_536)
                if not received:
                    break
                body += reader.body(received)
        except TimeoutError:
            pass  # whatever it is, it is no push endpoint that answers in time
        except (OSError, WireError) as error:
            if not address.tls and speaks_tls(address):
                raise UsageError(_speaks_tls_text(address)) from error
            raise UsageError(
                f"{address.authority} answered no HTTP to GET {path}: {error}; correct --instance"
            ) from error
    return reader, body
