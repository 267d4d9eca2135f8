"""The two instances of a split before it starts: that both are there, and that they are two."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address

from darktime.errors import UsageError
from darktime.split.running import address, answers


def require_two(production: str, dark: str) -> None:
    """Check both HOST:PORT. Raises UsageError when nobody listens at one, or both are the same address."""
    for name, instance in (("production", production), ("dark", dark)):
        if not answers(*address(instance)):
            raise UsageError(f"{name} http://{instance}: nobody listens there; start it, or name another instance")
    if production == dark or addresses(production) & addresses(dark):
        both = f"both {dark}" if production == dark else f"the same address ({production} and {dark})"
        raise UsageError(f"production and dark are {both}: copies to production would hurt it; name another instance")


def addresses(instance: str) -> frozenset[tuple[str, int]]:
    """Every address and port that a HOST:PORT stands for on this machine; empty when its name is not known."""
    host, port = address(instance)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return frozenset()
    return frozenset((_plain(one), port) for one in found)


def _plain(address: str) -> str:
    """One spelling an address: who connects to "any" reaches loopback, and IPv4 within IPv6 is IPv4."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        return "::1" if ip.version == 6 else "127.0.0.1"  # noqa: PLR2004 - IPv6
    return str(ip)
