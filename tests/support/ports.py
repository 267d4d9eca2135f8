"""TCP ports of this machine: whether one refuses, and which ones some processes listen on."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

_LISTENS = "0A"


def refuses(port: int) -> bool:
    """Whether nobody takes a connection to this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.2)  # a server that is just ending may neither take nor refuse it
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def ports_of(pids: list[int]) -> set[int]:
    """The ports on which any of these processes listens over IPv4."""
    inodes = set()
    for pid in pids:
        try:
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENS and f"socket:[{row[9]}]" in inodes}
