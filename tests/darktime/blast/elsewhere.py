"""A network of the test's own, in which an address is not loopback and nothing leads out: commands run inside it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
HOST = "192.0.2.1"
_NEW_NETWORK = 0x40000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """``prefix`` stands before a command that is to run there."""

    pid: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    def call(self, asked: Callable[[], T]) -> T:
        """Call it there, in a thread of its own: a thread's network is its own."""
        found: list[T] = []

        def inside() -> None:
            with Path(f"/proc/{self.pid}/ns/net").open("rb") as network:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.setns(network.fileno(), _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
            found.append(asked())

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join(20)
        assert found, "no answer from elsewhere"
        return found[0]


@contextmanager
def network() -> Iterator[Elsewhere]:
    """Skips the test without the right to make one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("needs root, unshare, nsenter and ip, for a network of its own")
    script = f"ip link set lo up && ip addr add {HOST}/32 dev lo && echo ready && exec sleep 60"
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            holder.wait(10)
            pytest.skip("this system makes no network of its own for a test")
        yield Elsewhere(pid=holder.pid)
    finally:
        holder.kill()
        holder.communicate()
