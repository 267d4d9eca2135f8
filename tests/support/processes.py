"""Which processes run below this one: what tests ask before they say that nothing was left behind."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on a process whose parent has ended becomes a child of this one, so that it cannot get out of sight.

    Such a process stays a zombie when it ends: ask :func:`running` about it, not ``os.kill(pid, 0)``.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def running(pid: int) -> bool:
    """Whether the process is there and is not a zombie."""
    return _state_and_parent(pid)[0] not in {"", "Z", "X"}


def stopped(pid: int) -> bool:
    """Whether the process has acted on SIGSTOP."""
    return _state_and_parent(pid)[0] == "T"


def descendants(pid: int | None = None) -> list[int]:
    """Every running process below ``pid`` (this process, if it is not named)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            children.setdefault(_state_and_parent(int(entry.name))[1], []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid or os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += below
    return [pid for pid in sorted(found) if running(pid)]


def describe(pid: int) -> str:
    """``PID COMMAND LINE``, for a message."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = "(ended meanwhile)"
    return f"{pid} {words.strip()[:200]}"


def kill(pids: list[int]) -> None:
    """SIGKILL to each of these."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])
