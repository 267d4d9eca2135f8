"""The kernel's room for log lines that wait while the relay is busy, or stopped: how much is asked for, and what it holds."""

from __future__ import annotations

import socket
from typing import Final

WANTED: Final = 33_554_432
# What each of many relays has at least: 32 of them may take a quarter of a gigabyte of the kernel's, and no more.
LEAST: Final = 4_194_304
# What one line takes of the room: it, its headers and the kernel's own note of it, in blocks of the kernel's sizes. Lines of
# 170 to 640 bytes, as nearly all are, take this; the sink's, which are shorter, two thirds of it.
_A_LINE: Final = 1_280
_SO_RCVBUFFORCE: Final = 33


def take(sock: socket.socket, wanted: int) -> int:
    """Take that much room, or what there is; how many lines it holds. Beyond net.core.rmem_max the kernel gives it to root only."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
    except OSError:  # not root, or no CAP_NET_ADMIN on this host
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _A_LINE
    )  # twice what was asked for: it counts its own


def to_be_had(wanted: int = WANTED) -> int:
    """How many lines a relay of this user's would have room for on this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return take(probe, wanted)
