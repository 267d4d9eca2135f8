"""Limits of this machine that a run would meet: ports of a source address, and how many connections a listener lets wait.

Looked at before the first connection. Where the machine is too small the run is refused; where it may be, it is said.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from darktime.errors import UsageError

if TYPE_CHECKING:
    from darktime.blast.settings import Address

PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
# Below this many at once no backlog that is in use anywhere matters.
FEW = 128
# sock_diag(7): which sockets listen, and with what backlog, as `ss -ltn` shows it.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_TCP_LISTEN = 10
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_ID_BYTES = 48
_ANSWER = struct.Struct(f"=BBBB{_ID_BYTES}sIIIII")
_REPLY_BYTES = 65_536
_ANSWER_S = 2.0


def port_range() -> tuple[int, int] | None:
    """The first and the last port that the kernel gives a connection; None where it does not say."""
    try:
        first, last = PORT_RANGE.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(first), int(last)


def check_ports(needed: int, ports: tuple[int, int] | None, sources: int, address: Address) -> None:
    """Whether so many sockets to one address have a port each (pure). Raises UsageError where they have not."""
    if ports is None:
        return
    first, last = ports
    an_address = last - first + 1
    if needed <= an_address * sources:
        return
    more = -(-needed // an_address)
    raise UsageError(
        f"{needed:,} connections to {address.authority} need a port each, and {sources} source "
        f"address{'es have' if sources > 1 else ' has'} {an_address * sources:,} (net.ipv4.ip_local_port_range {first} {last}): "
        f"name {more} addresses with --source, ask for at most {an_address * sources:,}, or widen the range"
    )


def backlog_of(address: Address) -> int | None:
    """How many connections may wait at a listener of this machine until it takes them; None where none is seen here."""
    try:
        found = _listeners(address.family)
    except OSError:
        return None
    here = socket.inet_pton(socket.AddressFamily(address.family), address.ip.partition("%")[0])
    fitting = [backlog for port, bound, backlog in found if port == address.port and bound in (here, bytes(len(here)))]
    return sum(fitting) if fitting else None  # several listen on one port where each has a queue of its own


def backlog_note(at_once: int, address: Address) -> str:
    """What is to be said of so many connections that begin at once; empty where nothing is."""
    if at_once <= FEW:
        return ""
    pace = "or open them slower with --connects-per-s"
    backlog = backlog_of(address) if address.loopback else None
    if backlog is None:
        return (
            f"{at_once:,} connections begin at once, and the listen backlog of {address.authority} cannot be seen from "
            f"here: where it is smaller some come a second late; look at it there (ss -ltn, net.core.somaxconn), {pace}"
        )
    if at_once <= backlog:
        return ""
    return (
        f"{at_once:,} connections begin at once, and {address.authority} lets {backlog:,} wait (its listen backlog; "
        f"net.core.somaxconn allows {_somaxconn()}): more come a second late; raise it in the instance "
        f"(nginx: listen … backlog=N), {pace}"
    )


def _somaxconn() -> str:
    try:
        return f"{int(SOMAXCONN.read_text(encoding='ascii')):,}"
    except (OSError, ValueError):
        return "an unknown number"


def _listeners(family: int) -> list[tuple[int, bytes, int]]:
    """(port, address in bytes, backlog) of each listening socket of this family. Raises OSError."""
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _TCP_LISTEN) + bytes(_ID_BYTES)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0)
    found: list[tuple[int, bytes, int]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_ANSWER_S)
        link.send(header + request)
        while True:
            reply = link.recv(_REPLY_BYTES)
            at = 0
            while at + _HEADER.size <= len(reply):
                length, kind, *_ = _HEADER.unpack_from(reply, at)
                if kind == _DONE:
                    return found
                if kind == _ERROR or length < _HEADER.size:
                    raise OSError(f"sock_diag: pid {os.getpid()} was refused the list of listeners")
                _, _, _, _, between, _, _, backlog, _, _ = _ANSWER.unpack_from(reply, at + _HEADER.size)
                size = 4 if family == socket.AF_INET else 16
                found.append((int.from_bytes(between[:2], "big"), between[4 : 4 + size], backlog))
                at += -(-length // 4) * 4
