"""Which machine a process of a run is on: its name, whose clock it reads, and whose loopback it has."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOT = Path("/proc/sys/kernel/random/boot_id")
TIME = Path("/proc/self/ns/time")
NETWORK = Path("/proc/self/ns/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``boot`` names the kernel since it started; ``time`` and ``network`` the namespaces in it. Empty: not known."""

    name: str
    pid: int
    boot: str
    time: str
    network: str

    def __str__(self) -> str:
        """As it stands in messages."""
        return f"process {self.pid} on {self.name}"

    def shares_clock(self, other: Machine) -> bool:
        """Whether the monotonic clocks of both are one and the same."""
        return bool(self.boot) and (self.boot, self.time) == (other.boot, other.time)

    def shares_loopback(self, other: Machine) -> bool:
        """Whether 127.0.0.1 is the same place for both."""
        return bool(self.boot) and (self.boot, self.network) == (other.boot, other.network)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, as it travels."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(**saved)


def here() -> Machine:
    """This process's."""
    return Machine(
        name=platform.node(),
        pid=os.getpid(),
        boot=_text(BOOT),
        time=_link(TIME),
        network=_link(NETWORK),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
