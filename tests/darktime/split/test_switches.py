"""Kill file, lease and levels act on a live nginx at once, with no reload and with nobody alive to help."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from darktime.errors import UsageError
from darktime.split import levels, nginx_blocks
from darktime.split.commands import agent_command
from darktime.split.log_format import OtherLine, read_line
from tests.darktime.split.servers import Quick
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Switched:
    """A split in front of servers that only count."""

    def __init__(self, make_split: Callable, slot_s: int) -> None:
        self.production = Quick()
        self.split = make_split(self.production.address, slot_s=slot_s, max_percent=50.0)
        self.split.start(percent=50, lease=False)
        self.relay = Quick(self.split.settings.relay_socket)
        self.client = self.split.client()

    def copied(self) -> bool:
        """Whether a request of a sampled user is copied now."""
        before = self.relay.requests
        self.client.get("/page", "Cookie: uid=u3")
        # The line of the copy is read before production's reply is written, or a moment later.
        deadline = time.monotonic() + 0.2
        while self.relay.requests == before and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.relay.requests > before

    def close(self) -> None:
        self.client.close()
        self.relay.stop()
        self.production.stop()


@pytest.fixture
def switched(make_split: Callable) -> Iterator[Callable[[int], Switched]]:
    made: list[Switched] = []

    def make(slot_s: int) -> Switched:
        made.append(Switched(make_split, slot_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_without_a_lease_nobody_is_mirrored_and_a_kill_file_ends_it_at_once(
    switched: Callable[[int], Switched], folder: Path
) -> None:
    it = switched(1000)
    assert not it.copied()
    levels.renew(folder, time.time(), 1000)
    assert it.copied()
    levels.kill(folder)
    assert not it.copied()
    levels.renew(folder, time.time(), 1000)
    assert not it.copied()
    levels.resume(folder)
    assert it.copied()
    levels.set_percent(folder, 0, 50)
    assert not it.copied()
    with pytest.raises(UsageError, match="allows 50 percent"):
        levels.set_percent(folder, 50.1, 50)


def test_without_a_lease_nobody_is_told_of_either(
    make_split: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_blocks, "CENSUS_PERCENT", 100)
    production = Quick()
    try:
        split = make_split(production.address, slot_s=1000, max_percent=10.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines, ExitStack() as last:
            lines.bind(("127.0.0.1", split.settings.log_port))
            lines.settimeout(5)
            split.start(percent=0, lease=False)
            client = last.enter_context(split.client())
            for user in range(30):
                client.get("/page", f"Cookie: uid=u{user}")
            levels.renew(folder, time.time(), 1000)
            client.get("/page", "X-Last: 1")
            told = read_line(lines.recv(65536), split.settings.secret)
            assert isinstance(told, OtherLine)
            assert (told.keyed, told.census) == ("none", True), "the first that is told of came with the lease"
            for user in range(30):
                client.get("/page", f"Cookie: uid=u{user}")
            parts = {read_line(lines.recv(65536), split.settings.secret).part[:1] for _ in range(30)}
            assert parts == {"b", "c", ""}, "who may be in, the control group, and everybody else"
    finally:
        production.stop()


@pytest.mark.parametrize("slot_s", [10, 100])
def test_a_lease_holds_in_its_own_slot_and_the_next_and_in_no_other(
    switched: Callable[[int], Switched], folder: Path, slot_s: int
) -> None:
    it = switched(slot_s)
    now = time.time()
    for slots, holds in ((-2, False), (1, False), (0, True)):
        levels.release(folder)
        levels.renew(folder, now + slots * slot_s, slot_s)
        if int(time.time()) // slot_s == int(now) // slot_s:  # else the border was passed meanwhile
            assert it.copied() is holds


def test_when_the_agent_is_killed_mirroring_ends_by_itself(
    switched: Callable[[int], Switched], folder: Path, stack: Any
) -> None:
    it = switched(1)
    command = agent_command(it.split.settings, folder, ttl_s=60)
    agent = stack.start("agent", command.argv, ready=command.ready_line)
    wait_until(it.copied, what="a copy while the agent lives")
    agent.kill()
    wait_until(lambda: not it.copied(), timeout_s=6, what="an end of the copies")
    wait_until(lambda: not levels.leased(folder, time.time() - 1, 1) and not it.copied(), timeout_s=6)


def test_an_agent_that_is_told_to_stop_or_has_done_its_time_gives_the_lease_back(
    switched: Callable[[int], Switched], folder: Path, stack: Any
) -> None:
    it = switched(100)
    command = agent_command(it.split.settings, folder, ttl_s=60)
    agent = stack.start("agent", command.argv, ready=command.ready_line)
    assert levels.leased(folder, time.time())
    assert agent.stop() == 0
    assert not it.copied()
    short = agent_command(it.split.settings, folder, ttl_s=0.2)
    agent = stack.start("agent2", short.argv, ready=short.ready_line)
    wait_until(lambda: not agent.alive(), what="the end of the agent's time")
    assert not it.copied()


def test_the_agent_imports_nothing_heavy() -> None:
    program = (
        "import sys, darktime.split.agent; "
        "print({'numpy', 'gevent', 'locust', 'flask', 'redis', 'socket', 'altair'} & set(sys.modules))"
    )
    argv = [sys.executable, "-c", program]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.strip() == "set()"
