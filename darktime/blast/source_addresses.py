"""Which addresses of this machine a run's connections come from: those that ``--source`` names, alone or as a network."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from darktime.blast.settings import Address

MOST = 4096


def named_sources(words: Sequence[str], address: Address) -> tuple[str, ...]:
    """The addresses, in order. Raises UsageError for what cannot be the source of a connection to ``address``."""
    found: list[str] = []
    for word in words:
        found += _of(word, address, MOST - len(found))
    for source in found:
        try:
            with socket.socket(socket.AddressFamily(address.family), socket.SOCK_STREAM) as probe:
                probe.bind((source, 0))
        except OSError as error:
            raise UsageError(
                f"--source {source}: {error.strerror}; name addresses of this machine (127.0.0.0/8 are, for loopback)"
            ) from error
    return tuple(found)


def _of(word: str, address: Address, room: int) -> list[str]:
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError as error:
        raise UsageError(f"--source {word!r}: {error}; write an address, or a network as 127.0.5.0/28") from error
    version = 4 if address.family == socket.AF_INET else 6
    if network.version != version:
        raise UsageError(f"--source {word}: {address.ip} is reached by IPv{version}; name an address of that kind")
    if network.is_loopback != address.loopback:
        there = "loopback" if address.loopback else f"{address.ip}, which is not this machine,"
        raise UsageError(f"--source {word}: {there} is reached from another address; name one")
    if network.num_addresses > room:
        raise UsageError(f"--source {word}: {network.num_addresses:,} addresses; at most {MOST:,} in all, name fewer")
    hosts = [network.network_address] if network.num_addresses == 1 else network.hosts()
    return [str(host) for host in hosts]
