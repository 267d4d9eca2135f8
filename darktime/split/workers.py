"""The relays of one split: how many there are, and what each has to itself. Pure.

One relay is one process, and one process of Python is one core at most. Their number is fixed in nginx's configuration,
where each has its socket, its sink and its port for log lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from darktime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from darktime.split.settings import CopySettings

MOST_WORKERS: Final = 32
RELAY: Final = "relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One relay. ``number``: from 1; 0 where it is the only one, which has no number in any name."""

    number: int
    relay_socket: Path
    sink_socket: Path
    log_port: int

    @property
    def name(self) -> str:
        """Of its process, and of the owner of its account in the ledger: ``relay``, or ``relay-2``."""
        return self.numbered(RELAY)

    def numbered(self, word: str) -> str:
        """A word that is this relay's own."""
        return f"{word}-{self.number}" if self.number else word


def workers_of(settings: CopySettings) -> tuple[Worker, ...]:
    """The relays of a split, in the order of their numbers."""
    ports = (settings.log_port, *settings.more_log_ports)
    if len(ports) == 1:
        return (
            Worker(
                number=0,
                relay_socket=settings.relay_socket,
                sink_socket=settings.sink_socket,
                log_port=settings.log_port,
            ),
        )
    return tuple(
        Worker(
            number=number,
            relay_socket=_numbered(settings.relay_socket, number),
            sink_socket=_numbered(settings.sink_socket, number),
            log_port=port,
        )
        for number, port in enumerate(ports, 1)
    )


def check_workers(workers: int) -> None:
    """Raise UsageError for a number of relays that there cannot be."""
    if not 1 <= workers <= MOST_WORKERS:
        raise UsageError(
            f"--relay-workers {workers}: 1 to {MOST_WORKERS}, please; each takes a core when there is enough to copy, so "
            "no more than there are cores; with more to copy, mirror fewer users"
        )


def check_log_ports(ports: tuple[int, ...]) -> None:
    """Raise UsageError where two relays would listen for log lines on one port."""
    if len(set(ports)) != len(ports):
        raise UsageError(f"log ports {', '.join(map(str, ports))}: each relay has its own, please")


def is_relay(name: str) -> bool:
    """Whether a process of that name is a relay."""
    return name == RELAY or name.startswith(f"{RELAY}-")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
