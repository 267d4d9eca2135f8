"""Which sockets of this machine listen, and which processes hold them: as the kernel's tables say."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_ANYBODY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on
_LISTENS: Final = "0A"
_ACCEPTS: Final = 0x10000
_WITH_A_PATH: Final = 8
# They open sockets for what they start, and keep them.
_HANDS_ON: Final = ("systemd", "init")


def listening_tcp(host: str, port: int) -> frozenset[str]:
    """The sockets that may take a connection to this address of this machine: those of the address, else the open ones."""
    exact, open_to_all = set(), set()
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for at, its_port, inode in _tcp(table, family):
            if its_port != port:
                continue
            if at == host:
                exact.add(inode)
            elif at in _ANYBODY:
                open_to_all.add(inode)
    return frozenset(exact or open_to_all)


def listening_unix(path: Path) -> frozenset[str]:
    """The sockets that take connections at this path."""
    wanted = {str(path), str(path.resolve())}
    found = set()
    for row in _rows("/proc/net/unix"):
        if len(row) >= _WITH_A_PATH and int(row[3], 16) & _ACCEPTS and " ".join(row[7:]) in wanted:
            found.add(row[6])
    return frozenset(found)


def holders(inodes: Collection[str]) -> frozenset[int]:
    """The processes that hold one of these sockets, as far as this user may see; none of those that only hand them on."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = set()
    for process in Path("/proc").iterdir() if wanted else ():
        if not process.name.isdigit():
            continue
        try:
            held = any(_leads_to(one) in wanted for one in (process / "fd").iterdir())
            if held and (process / "comm").read_text(encoding="utf-8").strip() not in _HANDS_ON:
                found.add(int(process.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return frozenset(found)


def _leads_to(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _tcp(table: str, family: socket.AddressFamily) -> list[tuple[str, int, str]]:
    found = []
    for row in _rows(table):
        if row[3] != _LISTENS:
            continue
        packed, _, port = row[1].rpartition(":")
        raw = b"".join(bytes.fromhex(packed[at : at + 8])[::-1] for at in range(0, len(packed), 8))
        found.append((socket.inet_ntop(family, raw), int(port, 16), row[9]))
    return found


def _rows(table: str) -> list[list[str]]:
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123 - a file of the kernel's
            return [line.split() for line in lines][1:]
    except OSError:
        return []
