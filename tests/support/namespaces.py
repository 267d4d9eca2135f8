"""A private network of several hosts on this machine: namespaces on one bridge, which nothing outside can see."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import require_engine
from tests.support.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT_S = 20.0
NET = "10.77.0"
NAME = re.compile(r"dt(\d+)-\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """``prefix`` before a command runs it there, under the same process id."""

    namespace: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words to put before a command."""
        return ("ip", "netns", "exec", self.namespace)

    def run(self, words: Sequence[str]) -> str:
        """Run a command there to its end; what it printed."""
        argv = [*self.prefix, *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout


@contextmanager
def network(hosts: int) -> Iterator[list[Host]]:
    """Make so many hosts that reach each other; they are gone afterwards, whatever happens.

    Without root, or the right to make namespaces, the test is skipped; in CI a skip fails that is not listed.
    """
    require_engine("ip")
    _sweep()
    names = [f"dt{os.getpid()}-{number}" for number in range(hosts)]
    made: list[str] = []
    try:
        for name in names:
            done = subprocess.run(
                ["ip", "netns", "add", name], capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
            if done.returncode and not made:
                _not_here(done.stderr.strip())
            done.check_returncode()
            made.append(name)
        found = [Host(namespace=name, address=f"{NET}.{at}") for at, name in enumerate(names, 1)]
        _connect(found)
        yield found
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=LIMIT_S, check=False)


def _connect(hosts: Sequence[Host]) -> None:
    """A bridge in the first one; cables from the others to it."""
    hub = hosts[0]
    hub.run(["ip", "link", "set", "lo", "up"])
    hub.run(["ip", "link", "add", "br0", "type", "bridge"])
    hub.run(["ip", "address", "add", f"{hub.address}/24", "dev", "br0"])
    hub.run(["ip", "link", "set", "br0", "up"])
    for at, host in enumerate(hosts[1:], 1):
        cable = f"cable{at}"
        hub.run(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace])
        hub.run(["ip", "link", "set", cable, "master", "br0", "up"])
        host.run(["ip", "link", "set", "lo", "up"])
        host.run(["ip", "address", "add", f"{host.address}/24", "dev", "eth0"])
        host.run(["ip", "link", "set", "eth0", "up"])


def require_time_namespaces() -> None:
    """Skip a test that gives a process another clock where that may not be."""
    try:
        done = subprocess.run(
            ["unshare", "--time", "true"], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except FileNotFoundError:
        _not_here("there is no unshare program")
    else:
        if done.returncode:
            _not_here(done.stderr.strip())


def _not_here(why: str) -> None:
    pytest.skip(f"needs the right to make namespaces: {why}")


def _sweep() -> None:
    """Remove what a test run has left that was killed before it could."""
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    for name in done.stdout.split():
        found = NAME.fullmatch(name)
        if found is not None and not running(int(found[1])):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=LIMIT_S, check=False)
