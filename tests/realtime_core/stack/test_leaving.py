from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime_core.stack import ready_line
from tests.support.ports import refuses
from tests.support.processes import descendants, running
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.stack import Service, Stack

    Parent = Callable[[str], tuple[Service, list[int], list[int]]]

PROMISE_S = 2.0  # what the README says
PARENT = Path(__file__).with_name("parent.py")


@pytest.fixture
def parent(stack: Stack, tmp_path: Path) -> Parent:
    """Start the process that runs a stack of its own; tell the service, the ports and all processes below it."""

    def begin(what: str) -> tuple[Service, list[int], list[int]]:
        argv = [sys.executable, str(PARENT), str(tmp_path / "theirs"), what]
        service = stack.start("parent", argv, ready="running ", timeout_s=20.0)
        ports = json.loads(ready_line(service, "running "))
        assert not any(refuses(port) for port in ports)
        return service, ports, descendants(service.pid)

    return begin


def test_kill_9_of_the_parent_frees_every_port_and_ends_every_process(parent: Parent) -> None:
    service, ports, below = parent("servers")
    assert len(ports) == 3
    assert len(below) >= 5  # valkey, the Python server, nginx's master and its two workers
    os.kill(service.pid, signal.SIGKILL)

    def gone() -> bool:
        return all(map(refuses, ports)) and not any(map(running, below))

    wait_until(gone, timeout_s=PROMISE_S, what="every port refusing and every process ended")


def test_ctrl_c_leaves_no_process_and_no_port(parent: Parent) -> None:
    service, ports, below = parent("servers")
    os.kill(service.pid, signal.SIGINT)
    wait_until(lambda: not service.alive(), timeout_s=15.0, what="the parent's end")
    assert all(refuses(port) for port in ports)
    assert not any(running(pid) for pid in below)


def test_a_second_ctrl_c_ends_the_grace_and_still_leaves_no_process(parent: Parent, tmp_path: Path) -> None:
    service, _, below = parent("deaf")
    os.kill(service.pid, signal.SIGINT)
    deaf = tmp_path / "theirs" / "deaf.log"
    wait_until(lambda: "not yet" in deaf.read_text(), what="the child's SIGTERM")
    assert service.alive()
    os.kill(service.pid, signal.SIGINT)
    wait_until(lambda: not service.alive(), timeout_s=15.0, what="the parent's end, long before the grace of 60 s")
    assert not any(running(pid) for pid in below)
    assert "KeyboardInterrupt" in service.tail()
