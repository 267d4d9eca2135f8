"""Production's instances, as people name them, and how nginx reaches them: plain, or by TLS that is verified. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError
from darktime.split.dark_side import parse_instance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from darktime.split.dark_side import Instance

MOST_INSTANCES: Final = 64
VERIFY_DEPTH: Final = 10  # nginx's own is 1: one intermediate certificate and no more
_NAME: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """How TLS is spoken to the servers of a route.

    ``name``: what they are called, in SNI and in their certificates; empty: no SNI, and nothing can be verified.
    ``cacert``: a file of CAs in PEM; None: no certificate is verified.
    """

    name: str
    cacert: Path | None

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        if self.name and not _NAME.fullmatch(self.name):
            raise UsageError(f"--production-name {self.name!r}: a host's name, please, as in www.example.org")

    def lines(self) -> str:
        """The directives of a location that passes requests to them."""
        found = ["proxy_ssl_protocols TLSv1.2 TLSv1.3;"]
        if self.name:
            found += ["proxy_ssl_server_name on;", f"proxy_ssl_name {self.name};"]
        if self.cacert is not None:
            found += [
                "proxy_ssl_verify on;",
                f"proxy_ssl_verify_depth {VERIFY_DEPTH};",
                f"proxy_ssl_trusted_certificate {self.cacert};",
            ]
        return "".join(f"    {line}\n" for line in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """All of them. ``name``: in their certificates, where that is not the host of the URL. ``cacert``, ``insecure``: of TLS."""

    instances: tuple[Instance, ...]
    name: str | None = None
    cacert: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        names = ", ".join(self.urls)
        if not 1 <= len(self.instances) <= MOST_INSTANCES:
            raise UsageError(f"{len(self.instances)} production instances: 1 to {MOST_INSTANCES}, please")
        if len(set(self.at)) != len(self.instances):
            raise UsageError(f"production {names}: each instance once, please")
        if len({one.tls for one in self.instances}) > 1:
            raise UsageError(
                f"production {names}: all by http:// or all by https://, please: nginx asks one like another"
            )
        if not self.tls and (self.name or self.cacert or self.insecure):
            raise UsageError(
                f"production {names}: --production-name, --production-cacert and --production-insecure are for https://"
            )
        if self.cacert and self.insecure:
            raise UsageError("--production-cacert and --production-insecure: one of them, please")
        if self.tls and not self.insecure and (not self.tls_name or _is_address(self.tls_name)):
            raise UsageError(
                f"production {names}: nginx verifies one name, and no address; say which name is in the certificate, "
                "--production-name www.example.org"
            )

    @property
    def tls(self) -> bool:
        """Whether they are reached by TLS."""
        return any(one.tls for one in self.instances)

    @property
    def urls(self) -> tuple[str, ...]:
        """As they are written."""
        return tuple(one.url for one in self.instances)

    @property
    def at(self) -> tuple[str, ...]:
        """HOST:PORT of each."""
        return tuple(one.at for one in self.instances)

    @property
    def tls_name(self) -> str:
        """What all of them are called; empty where they are called differently and nobody says how."""
        hosts = {one.host for one in self.instances}
        return self.name or (hosts.pop() if len(hosts) == 1 else "")

    def upstream_tls(self, cacert: Path | None) -> UpstreamTls | None:
        """As a route takes it; ``cacert``: whom it trusts."""
        return UpstreamTls(name=self.tls_name, cacert=cacert) if self.tls else None


def production_of(
    urls: Sequence[str], *, name: str | None = None, cacert: Path | None = None, insecure: bool = False
) -> Production:
    """The production that people write. Raises UsageError."""
    instances = tuple(parse_instance(url, "production") for url in urls)
    return Production(instances=instances, name=name, cacert=cacert, insecure=insecure)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
