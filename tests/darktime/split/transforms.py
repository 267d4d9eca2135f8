"""Functions as users write them, and as they should not; imported by relays that tests start."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darktime.split.transform import Copy

SESSIONS = {f"u{number}": f"dark-session-{number}" for number in range(50)}
number = 7


def by_path(copy: Copy) -> Copy | None:
    """What the path asks for."""
    if copy.path == "/drop":
        return None
    if copy.path == "/raise":
        raise KeyError(copy.user)
    if copy.path == "/exit":
        sys.exit(3)
    if copy.path == "/unmark":
        return copy.with_header("X-Darktime", "0")
    if copy.path == "/split":
        return copy.with_header("X-A", "1\r\nX-Darktime: 0")
    if copy.path == "/slow":
        time.sleep(0.03)
    if copy.method == "POST":
        return replace(copy, body=copy.body.upper())
    if copy.path == "/moved":
        return replace(copy, path="/v2/moved", query="plain=1&" + copy.query)
    return copy


def swap(copy: Copy) -> Copy | None:
    """A session of the dark side in place of the one that production knows."""
    return copy.with_cookie("session", SESSIONS[copy.user]).with_header(
        "Authorization", f"Bearer {SESSIONS[copy.user]}"
    )


async def awaited(copy: Copy) -> Copy:
    """Nobody awaits it."""
    return copy


def of_two(copy: Copy, _other: object) -> Copy:
    """Takes more than a copy."""
    return copy
