"""Several relays behind a real nginx: a user's copies and lines meet in one of them, together they account for every copy."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels, nginx_blocks
from darktime.split.commands import LedgerNames
from darktime.split.folder import prepare
from darktime.split.log_format import LogLine, read_line
from darktime.split.lookout import read_population
from darktime.split.marks import mark
from darktime.split.nginx_config import render
from darktime.split.running import start_nginx, start_split
from darktime.split.settings import CopySettings
from darktime.split.vigil import Vigil, read_state
from darktime.split.workers import workers_of
from realtime_core.free_ports import free_ports
from realtime_core.ledger import balance, read
from realtime_core.stack import find_nginx
from tests.darktime.split.conftest import split_settings
from tests.darktime.split.servers import Client, Quick
from tests.darktime.split.test_include import Theirs
from tests.darktime.split.test_workers import drawn as drawn_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from darktime.split.running import RunningSplit
    from darktime.split.settings import SplitSettings
    from realtime_core.stack import Stack

USERS = [f"u{number}" for number in range(300)]
RELAYS = 3


def drawn(settings: CopySettings, user: str) -> int:
    return drawn_of(settings, user, RELAYS)


def several(folder: Path, production: str, relays: int = RELAYS, **changes: Any) -> SplitSettings:
    first, *more = free_ports(relays, kind=SOCK_DGRAM)
    return split_settings(folder, production, log_port=first, more_log_ports=tuple(more), **changes)


@pytest.fixture
def start(stack: Stack, folder: Path, tmp_path: Path) -> Callable[..., RunningSplit]:
    def begin(production: str, dark: str, relays: int = RELAYS, **more: Any) -> RunningSplit:
        settings = several(folder, production, relays)
        return start_split(
            stack,
            settings,
            folder=folder,
            nginx=find_nginx().path,
            dark=f"http://{dark}",
            percent=100.0,
            ttl_s=600.0,
            results=tmp_path,
            **more,
        )

    return begin


@pytest.fixture
def quick() -> Iterator[Callable[[], Quick]]:
    made: list[Quick] = []

    def make() -> Quick:
        made.append(Quick())
        return made[-1]

    yield make
    for one in made:
        one.stop()


def gathered(running: RunningSplit) -> dict[str, Any]:
    assert running.gather() is None
    return read_state(running.state)


def marks_of(path: Path) -> set[str]:
    return {json.loads(line)["user"] for line in path.read_text().splitlines()} if path.exists() else set()


def ask_all(address: str, users: list[str], path: str = "/page") -> None:
    """A request of each, all answered, over one connection: nothing but the user tells them apart."""
    with Client(address) as client:
        client.pipeline(path, [f"Cookie: uid={user}" for user in users])


def test_every_copy_is_accounted_for_once_and_a_user_is_with_the_relay_that_the_hash_names(
    start: Callable[..., RunningSplit], quick: Callable, redis_client: Any, redis_name: str, valkey: Any
) -> None:
    production, dark = quick(), quick()
    running = start(production.address, dark.address, ledger=LedgerNames(url=valkey.url, name=redis_name))
    settings = running.settings
    ask_all(settings.listen, USERS)
    ask_all(settings.listen, USERS[::-1])
    asked = 2 * len(USERS)
    wait_until(lambda: gathered(running).get("compared") == asked, timeout_s=10, what="all copies compared")
    wait_until(lambda: gathered(running) and len(running.pairs.read_text().splitlines()) == asked, what="all pairs")
    state = gathered(running)
    assert (state["offered"], state["received"], state["waiting"], state["duplicates"]) == (asked, asked, 0, 0)
    assert dark.requests == asked + 1, "the probe of the dark instance is one"
    assert sum(state["reasons"].values()) == 0
    parts = [read_state(path) for path in running.states]
    assert [one["pid"] for one in state["relays"]] == [one["pid"] for one in parts]
    for number, (part, path) in enumerate(zip(parts, running.states, strict=True), 1):
        mine = {mark(settings.secret, user) for user in USERS if drawn(settings, user) == number}
        assert set(part["users"]) == mine == marks_of(path.with_name(f"pairs-{number}.jsonl"))
        assert part["log_lines"] >= part["received"] == part["compared"] == 2 * len(mine)
    assert len(state["users"]) == len(USERS)
    hops = {one.hop: one for one in balance(read(redis_client, redis_name))}
    wait_until(
        lambda: (
            hops.update({one.hop: one for one in balance(read(redis_client, redis_name))})
            or (hops["mirror>relay"].received == hops["relay>compared"].received == asked)
        ),
        what="the ledger",
    )
    assert all(not (hop.missing or hop.extra or hop.undecoded) for hop in hops.values())
    owners = sorted(owner.split()[0] for owner in hops["mirror>relay"].open_owners)
    assert owners == ["relay-1", "relay-2", "relay-3"]
    population = read_population(running.population)
    assert population is not None
    assert sum(bucket.requests for bucket in population.copied.values()) <= asked
    assert len(set(running.exporters.values())) == RELAYS
    running.end_relays()
    relays = [process for name, process in running.processes.items() if name.startswith("relay-")]
    wait_until(lambda: not any(process.alive() for process in relays), what="the end of all of them")
    assert [process.stop() for process in relays] == [0, 0, 0]
    assert running.close() is None
    assert len({json.loads(line)["id"] for line in running.pairs.read_text().splitlines()}) == asked
    assert not list(running.pairs.parent.glob("pairs-*"))
    assert sum(population.keyed.values()) <= sum(read_population(running.population).keyed.values())  # type: ignore[union-attr]
    whole = balance(read(redis_client, redis_name))
    assert all(one.balanced for one in whole if one.hop in ("mirror>relay", "relay>compared"))


def test_one_that_is_killed_costs_its_users_copies_and_nobody_else_anything(
    start: Callable[..., RunningSplit], quick: Callable
) -> None:
    production, dark = quick(), quick()
    running = start(production.address, dark.address)
    vigil = Vigil(running.processes)
    settings, users = running.settings, USERS[:90]
    lost = [user for user in users if drawn(settings, user) == 2]
    ask_all(settings.listen, users)
    wait_until(lambda: gathered(running).get("compared") == len(users), what="all copies compared")
    os.kill(running.processes["relay-2"].pid, signal.SIGKILL)
    wait_until(lambda: not running.processes["relay-2"].alive(), what="its end")
    ask_all(settings.listen, users)
    wait_until(lambda: gathered(running)["compared"] == 2 * len(users) - len(lost), what="the others' copies compared")
    (incident,) = vigil.look()
    assert incident.startswith("relay-2 died: the copies of its users go to nginx's sink")
    assert vigil.lost_relay
    state = gathered(running)
    assert [one["alive"] for one in state["relays"]] == [True, False, True]
    assert state["received"] == state["compared"] + sum(state["reasons"].values()) + state["waiting"]
    assert 0 < len(lost) < len(users)


def test_streams_are_held_and_ended_by_the_relay_of_their_user(
    start: Callable[..., RunningSplit], origin: Callable
) -> None:
    production, dark = origin(), origin()
    running = start(production.address, dark.address)
    settings, users = running.settings, USERS[:12]
    held = Counter(drawn(settings, user) for user in users)
    with ExitStack() as last:
        clients = [last.enter_context(Client(settings.listen)) for _ in users]
        for client, user in zip(clients, users, strict=True):
            client.send("/ev/thread:1", "Accept: text/event-stream", f"Cookie: uid={user}")
        wait_until(lambda: gathered(running).get("streams") == len(users), what="all streams held")
        assert {number: read_state(path)["streams"] for number, path in enumerate(running.states, 1)} == held
        dark.events.append(json.dumps({"id": "1-1", "channel": "thread:1", "at": 1.0, "data": {}}).encode())
        wait_until(lambda: gathered(running)["channels"] == {"thread:1": len(users)}, what="all events read")
    wait_until(lambda: dark.streams == 0, timeout_s=10, what="the end of the dark streams")
    wait_until(lambda: gathered(running)["compared"] == len(users), what="all streams compared")
    assert gathered(running)["streams"] == 0


class Ports:
    """Whoever listens for each relay's log lines."""

    def __init__(self, settings: CopySettings, last: ExitStack) -> None:
        self._secret = settings.secret
        self._all = [last.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in workers_of(settings)]
        for port, worker in zip(self._all, workers_of(settings), strict=True):
            port.bind(("127.0.0.1", worker.log_port))
            port.setblocking(False)

    def lines(self, count: int) -> list[list[Any]]:
        """What has come to each; waits for so many in all, since nginx logs a request once it is answered."""
        found: list[list[Any]] = [[] for _ in self._all]

        def there() -> bool:
            for lines, port in zip(found, self._all, strict=True):
                lines.extend(self._of(port))
            return sum(map(len, found)) >= count

        wait_until(there, what=f"{count} log lines")
        return found

    def _of(self, port: socket.socket) -> Iterator[Any]:
        with suppress(BlockingIOError):
            while True:
                line = read_line(port.recv(65536), self._secret)
                assert line is not None
                yield line


def test_the_sinks_line_goes_to_the_relay_whose_copy_it_took_and_keyless_ones_to_all(
    stack: Stack, folder: Path, quick: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_blocks, "CENSUS_PERCENT", 100)
    settings = several(folder, quick().address, slot_s=1000)
    prepare(folder, settings, render(settings, folder))
    levels.set_percent(folder, 100.0, 100.0)
    levels.renew(folder, time.time(), settings.slot_s)
    users = USERS[:9]
    with ExitStack() as last:
        ports = Ports(settings, last)
        start_nginx(stack, settings, folder, find_nginx().path)
        for number in range(1, RELAYS + 1):
            mine = [user for user in users if drawn(settings, user) == number]
            ask_all(settings.listen, mine)
            found = ports.lines(2 * len(mine))
            assert [len(lines) for lines in found] == [2 * len(mine) * (at == number) for at in range(1, RELAYS + 1)]
            assert Counter(one.id for one in found[number - 1]) == dict.fromkeys({o.id for o in found[number - 1]}, 2)
            assert sum(one.sink for one in found[number - 1]) == len(mine)
        for _ in range(40):
            with Client(settings.listen) as client:
                client.pipeline("/", ["X-Nobody: 1"])
        keyless = ports.lines(40)
        assert sum(map(len, keyless)) == 40
        assert all(keyless), "of 40 connections none belongs to a relay once in millions"


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_in_somebodys_own_nginx_each_request_is_told_once_to_the_relay_of_its_user(
    stack: Stack, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, percent: float
) -> None:
    monkeypatch.setattr(nginx_blocks, "CENSUS_PERCENT", 100)  # all that is not copied is told of too
    first, *more = free_ports(RELAYS, kind=SOCK_DGRAM)
    settings = CopySettings(
        relay_socket=folder / "relay.sock",
        sink_socket=folder / "sink.sock",
        log_port=first,
        more_log_ports=tuple(more),
        dark_state="isolated",
        max_percent=100.0,
        slot_s=1000,
    )
    levels.set_percent(folder, percent, 100.0)
    levels.renew(folder, time.time(), settings.slot_s)
    users = USERS[:9]
    with ExitStack() as last:
        relays = [Quick(worker.relay_socket) for worker in workers_of(settings)]
        for relay in relays:
            last.callback(relay.stop)
        ports = Ports(settings, last)
        theirs = Theirs(stack, tmp_path / "theirs", settings, last)
        for user in users:
            for port in (theirs.port, theirs.other):  # the other logs subrequests, and has a mirror of its own
                theirs.ask("GET", "/", f"Cookie: uid={user}", port)
        told = ports.lines(2 * len(users))
        for number, (relay, lines) in enumerate(zip(relays, told, strict=True), 1):
            mine = [user for user in users if drawn(settings, user) == number]
            assert len(lines) == 2 * len(mine), "one line a request"
            copied = [one.id for one in lines if isinstance(one, LogLine)]
            assert len(copied) == (len(lines) if percent else 0)
            wait_until(lambda relay=relay, copied=copied: len(relay.ids) == len(copied), what="the copies")
            assert sorted(relay.ids) == sorted(copied)
            assert relay.users == (dict.fromkeys(mine, 2) if percent else {})
        assert theirs.log("error.log") == []


@pytest.mark.parametrize("relays", [2, 32])
def test_nginx_takes_the_configuration_without_a_word(stack: Stack, folder: Path, relays: int) -> None:
    settings = several(folder, "127.0.0.1:9", relays, max_percent=10.0)
    prepare(folder, settings, render(settings, folder))
    start_nginx(stack, settings, folder, find_nginx().path)
    assert (folder / "error.log").read_text() == ""
