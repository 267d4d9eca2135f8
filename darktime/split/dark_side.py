"""The dark side: which instances get copies, how they are reached, and how many copies each may have under way."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONNECTIONS: Final = 64
MOST_CONNECTIONS: Final = 1024
MOST_INSTANCES: Final = 64
_MOST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One dark instance."""

    host: str
    port: int
    tls: bool = False

    @property
    def at(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As it is written."""
        return f"{'https' if self.tls else 'http'}://{self.at}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkSide:
    """All of them. ``cacert``: trusted in place of this machine's; ``insecure``: no certificate is verified.

    ``connections``: copies that each instance may have under way, without streams and replies that last.
    """

    instances: tuple[Instance, ...]
    cacert: Path | None = None
    insecure: bool = False
    connections: int = CONNECTIONS

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        names = [one.url for one in self.instances]
        if not names or len(names) > MOST_INSTANCES:
            raise UsageError(f"{len(names)} dark instances: 1 to {MOST_INSTANCES}, please")
        if len({one.at for one in self.instances}) != len(names):
            raise UsageError(f"dark {', '.join(names)}: each instance once, please")
        if (self.cacert or self.insecure) and not any(one.tls for one in self.instances):
            raise UsageError(f"dark {', '.join(names)}: --dark-cacert and --dark-insecure are for https://")
        if self.cacert and self.insecure:
            raise UsageError("--dark-cacert and --dark-insecure: one of them, please")
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise UsageError(f"--dark-connections {self.connections}: 1 to {MOST_CONNECTIONS:,}, please")

    @property
    def urls(self) -> tuple[str, ...]:
        """As they are written."""
        return tuple(one.url for one in self.instances)


def parse_instance(url: str, what: str = "dark") -> Instance:
    """Read ``http://HOST:PORT`` or ``https://HOST:PORT`` (443 where the port is left out). Raises UsageError."""
    refused = UsageError(f"{what} {url}: http://HOST:PORT or https://HOST:PORT, please, as in http://127.0.0.1:8001")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 0)
    except ValueError as error:
        raise refused from error
    plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not 0 < port <= _MOST_PORT or not plain:
        raise refused
    return Instance(host=parts.hostname, port=port, tls=parts.scheme == "https")


def dark_side(
    urls: Sequence[str], *, cacert: Path | None = None, insecure: bool = False, connections: int = CONNECTIONS
) -> DarkSide:
    """The dark side that people write. Raises UsageError."""
    return DarkSide(
        instances=tuple(parse_instance(url) for url in urls), cacert=cacert, insecure=insecure, connections=connections
    )


def tls_context(side: DarkSide) -> ssl.SSLContext | None:
    """How TLS is spoken there; None where nobody does. Raises UsageError for a file that holds no certificate."""
    if not any(one.tls for one in side.instances):
        return None
    try:
        context = ssl.create_default_context(cafile=None if side.cacert is None else str(side.cacert))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--dark-cacert {side.cacert}: {error}; name a file of certificates in PEM") from error
    if side.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    # Some Pythons (Debian 12's is one) tell OpenSSL 3 to take a connection that is cut off for one that was ended: half a
    # reply would be a whole one.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def ask(instance: Instance, path: str, *, host: str, timeout_s: float, most_bytes: int) -> bytes | None:
    """The beginning of what it answers to a GET that is marked as a copy; None where it does not.

    Who it is is not verified: nothing secret is sent.
    """
    link: http.client.HTTPConnection
    if instance.tls:
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - see above
        link = http.client.HTTPSConnection(instance.host, instance.port, timeout=timeout_s, context=context)
    else:
        link = http.client.HTTPConnection(instance.host, instance.port, timeout=timeout_s)
    try:
        link.request("GET", path, headers={"Host": host, "X-Darktime": "1"})
        return link.getresponse().read1(most_bytes)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        link.close()
